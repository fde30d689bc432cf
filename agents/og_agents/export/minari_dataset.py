"""Episodes as a Minari dataset, which offline learners read.

A dataset holds observations [T + 1], actions [T], rewards, terminations and truncations [T], and in `infos` [T + 1] the
`action_mask` and the unweighted reward terms. The metadata of an episode name its seed and its policy; those of the
dataset hold the environment, so that `minari.load_dataset(id).recover_environment()` makes it again.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from og_agents.export.recorded_episodes import ROWS, Episode, Stage
from og_env.errors import import_extra

ROOT = "MINARI_DATASETS_PATH"
"""the environment variable by which Minari finds its datasets"""
ID = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")


def write(
    episodes: Iterable[Episode],
    stage: Stage,
    dataset_id: str,
    root: Path | None = None,
    *,
    flatten: bool,
    about: str = "",
) -> Path:
    """Write the dataset under `root` (default: where Minari looks) and return its folder; half a one is never left.

    The same episodes give the same bytes. ValueError where Minari is missing, the id is none or is taken.
    """
    import_extra("h5py")
    import_extra("minari.utils")
    minari = import_extra("minari")
    if not ID.fullmatch(dataset_id):
        raise ValueError(
            f"{dataset_id!r} is no id of a dataset: letters, digits, - and _, with a version: toy/greedy-v0"
        )
    with _root(root):
        folder = Path(minari.utils.get_dataset_path(dataset_id))
        if folder.exists():
            raise ValueError(f"{folder}: there is a dataset already: remove it, or take another --id")
        try:
            _fill(minari, iter(episodes), stage, dataset_id, flatten, about)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder


@contextlib.contextmanager
def _root(root: Path | None) -> Iterator[None]:
    """Let Minari look in `root`."""
    before = os.environ.get(ROOT)
    if root is not None:
        os.environ[ROOT] = str(root)
    try:
        yield
    finally:
        if root is not None:
            os.environ.pop(ROOT)
            if before is not None:
                os.environ[ROOT] = before


def _fill(minari: Any, episodes: Iterator[Episode], stage: Stage, dataset_id: str, flatten: bool, about: str) -> None:
    """Write the episodes batch by batch, so that memory does not grow with their number."""
    spec = copy.deepcopy(gym.spec(stage.env_id))
    spec.kwargs |= stage.make_kwargs(flatten)
    dataset, played = None, []
    while batch := list(islice(episodes, ROWS)):
        buffers = [_buffer(minari, episode) for episode in batch]
        if dataset is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # no author, no link to the code
                dataset = minari.create_dataset_from_buffers(
                    dataset_id,
                    buffers,
                    env=spec,
                    algorithm_name=about,
                    description=f"{stage.spec.name}: {stage.spec.description}",
                    requirements=[f"og_env=={importlib.metadata.version('og_env')}"],
                )
        else:
            dataset.storage.update_episodes(buffers)
        played += [{"policy": episode.policy} for episode in batch]
    if dataset is None:
        raise ValueError("a dataset needs at least one episode")
    dataset.storage.update_episode_metadata(played)


def _buffer(minari: Any, episode: Episode) -> Any:
    steps = len(episode.rewards)
    return minari.data_collector.EpisodeBuffer(
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=np.zeros(steps, np.bool_),
        truncations=np.arange(steps) == steps - 1,
        infos=episode.infos,
    )
