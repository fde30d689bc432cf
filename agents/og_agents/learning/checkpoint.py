"""Trained policies in folders: weights as safetensors, all else as JSON; nothing pickled is loaded unless asked for.

A folder with a trained policy holds policy.safetensors and policy.json, which describes the policy and its task. Weights
and description change together: both lie beside their places first, and a description that was not moved any more is
known by the hash of its weights. A run that can go on also has resume.safetensors (`resume_file`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

from og_agents.learning import believed_speeds, possible_behind
from og_agents.learning.networks import READ, ChoosesAmong, SharedScorerPolicy, masked_logits, policy_class
from og_agents.learning.operation_scorer import OperationScorerPolicy
from og_agents.learning.policy_compatibility import (
    DAMAGED,
    check_sizes,
    columns_here,
    describe_space,
    fitted,
    refuse_other_width,
    space_of,
    spaces_of,
)
from og_agents.learning.run_record import versions
from og_agents.learning.site_scorer import PLACES, SiteScorerPolicy
from og_agents.learning.site_scorer import READ as SITE_READ
from og_agents.policy import Asked, as_predict
from og_env.scenario import loading
from og_env.scenario.json_file import read_json
from og_env.scenario.text_files import move_into_place, write_part, write_text

FORMAT = 1
"""counts up when a card of an earlier version would be misread; a new key that may be missing changes nothing"""
KEYS = {"task", "scenario", "env_kwargs", "policy", "policy_kwargs", "observation_space", "action_space"}
HASH = "weights_sha256"
"""key of policy.json: of the weights that it describes"""
LEAST_WIDEST = 64
"""number up to which a description is believed, whatever the weights are"""
WEIGHTS, CARD = "policy.safetensors", "policy.json"


class LearnedPolicy:
    """A trained network as a policy; it asks for the environment that it was trained in."""

    def __init__(self, network: Any, meta: dict[str, Any], name: str) -> None:
        self.network, self.meta, self.name = network, meta, name
        self.env_kwargs: dict[str, Any] = dict(meta["env_kwargs"])
        self.overrides: dict[str, Any] = dict(meta.get("overrides", {}))
        self._router = believed_speeds.router_of(meta) if getattr(network, "believes", False) else None
        self._flat = isinstance(network.observation_space, gym.spaces.Box)
        self.recurrent = isinstance(network, RecurrentActorCriticPolicy)
        self._masked = meta["task"] != "routing" and not self.recurrent
        self.sees_possible = isinstance(network, OperationScorerPolicy)
        plain = isinstance(network, ChoosesAmong) and network.share_features_extractor
        self._simple = plain and self._flat and isinstance(network.action_space, gym.spaces.Discrete)

    def attach(self, env: Any) -> None:
        """Let the router that the policy corrects, where it has one, measure this environment."""
        if self._router is not None:
            self._router.attach(env)

    @as_predict
    def predict(self, asked: Asked) -> tuple[np.ndarray, Any]:
        """Actions for a batch of observations, flat [B, O] or by table, or for a single one.

        A network with a memory, or a policy with a router, reads `state` and returns the next one; others hand it back.
        """
        observation, state, episode_start, deterministic, action_masks = asked
        if self._flat and isinstance(observation, Mapping):
            by_site = isinstance(self.network, SiteScorerPolicy | OperationScorerPolicy)
            reads = SITE_READ if by_site else READ
            tables = [np.asarray(observation[name]) for name in reads if name in observation]
            lead = tables[0].shape[:-1]
            observation = np.concatenate([table.reshape(*lead, -1) for table in tables], axis=-1)
        if self._router is not None:
            return self._routed(self._router, np.asarray(observation), state, episode_start, deterministic)
        if self.sees_possible:
            if action_masks is None:
                raise ValueError(f"{self.name} reads which operations are possible: hand in action_masks")
            observation = possible_behind.behind(observation, action_masks)
        if self.recurrent:
            return self.network.predict(observation, state, episode_start, deterministic)
        if deterministic and self._simple and action_masks is not None:
            return self._likeliest(np.asarray(observation), np.asarray(action_masks)), state
        extra = {"action_masks": action_masks} if self._masked else {}
        actions, _ = self.network.predict(observation, deterministic=deterministic, **extra)
        return actions, state

    def _routed(
        self,
        router: believed_speeds.BelievedRouter,
        observation: np.ndarray,
        state: Any,
        fresh: Any,
        deterministic: bool,
    ) -> tuple[np.ndarray, Any]:
        """Levels [B, N], or [N] of a single environment, which the router solves for by beliefs; and its memory."""
        memory, columns = router.measured(state, fresh)
        rows = np.concatenate([observation.reshape(len(columns), -1), columns], axis=1)
        levels = router.levels(self.network.predict(rows, deterministic=deterministic)[0], memory)
        shape = (*observation.shape[:-1], levels.shape[1])
        return levels.reshape(shape).astype(np.float32), router.in_force(memory, levels)

    def _likeliest(self, observation: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """The likeliest actions [B] for masks [B, A], or one action for one mask."""
        rows = observation.reshape(-1, observation.shape[-1])
        with torch.inference_mode():
            possible = torch.as_tensor(masks.reshape(len(rows), -1).astype(np.bool_))
            actions = masked_logits(self.network, torch.as_tensor(rows), possible).argmax(dim=1).numpy()
        return actions.reshape(observation.shape[:-1])


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside the target and move it into its place; OSError with its name where that cannot be."""
    _write_part(path, write)
    _move(path)


def _part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _write_part(path: Path, write: Callable[[Path], Any]) -> None:
    """Write all of a file beside its place."""
    part = _part_of(path)
    try:
        write_part(part, write)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):  # half a file takes room on a disk that may be full
            part.unlink(missing_ok=True)
        raise _not_written(path, error) from None


def _not_written(path: Path, error: Exception) -> OSError:
    """The error of a file that cannot be written, with its number and name; safetensors says the number in words alone."""
    number = error.errno if isinstance(error, OSError) else None
    found = re.search(r"os error (\d+)", str(error))
    number = int(found[1]) if number is None and found else number
    reason = str(error) if number is None else os.strerror(number)
    return OSError(number or errno.EIO, f"cannot be written: {reason}", str(path))


def _move(*paths: Path) -> None:
    """Move what lies beside its place into it, one after the other."""
    for path in paths:
        move_into_place(_part_of(path), path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, in one move."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def plain_tensors(tensors: Mapping[str, torch.Tensor], prefix: str = "") -> dict[str, torch.Tensor]:
    """Contiguous copies of tensors, as safetensors needs them, under names with a prefix."""
    return {prefix + name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def save(model: Any, folder: str | Path, meta: Mapping[str, Any], **facts: Any) -> Path:
    """Write the policy of an SB3 model (or a policy) with its description; `facts` go into policy.json as well."""
    path, policy = Path(folder), getattr(model, "policy", model)
    spaces = {name: describe_space(getattr(policy, name)) for name in ("observation_space", "action_space")}
    path.mkdir(parents=True, exist_ok=True)
    if _unmoved_card(path) is not None:
        _move(path / CARD)
    _write_part(path / WEIGHTS, lambda part: save_file(plain_tensors(policy.state_dict()), str(part)))
    product = {"version": versions().get("og-env"), "columns": columns_here()}
    card = {"format": FORMAT, **product, **meta, **spaces, **facts, HASH: _hash_of(_part_of(path / WEIGHTS))}
    _write_part(path / CARD, lambda part: part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8"))
    _move(path / WEIGHTS, path / CARD)
    return path


def _hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unmoved_card(folder: Path) -> dict[str, Any] | None:
    """The description of the weights in their place, where writing ended before it was moved into its own."""
    part = _part_of(folder / CARD)
    if not part.is_file() or not (folder / WEIGHTS).is_file():
        return None
    try:
        card = read_json(part)
        return card if card.get(HASH) == _hash_of(folder / WEIGHTS) else None
    except (OSError, ValueError):
        return None


def read_meta(folder: str | Path) -> dict[str, Any]:
    """policy.json of a folder; ValueError in one line where there is none or it is damaged."""
    folder = Path(folder)
    path = folder / CARD
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of a trained policy")
    unmoved = _unmoved_card(folder)
    if unmoved is None and not path.is_file():
        pickled = next(iter(sorted(folder.glob("*.zip"))), None)
        hint = f"; {pickled.name} is pickled: name it with allow_pickle=True if you trust it" if pickled else ""
        raise ValueError(f"{folder}: not a trained policy: {CARD} is missing{hint}")
    meta = read_json(path) if unmoved is None else unmoved
    if meta.get("format") != FORMAT:
        maker = f", written by og-env {meta['version']}" if meta.get("version") else ""
        raise ValueError(f"{path}: format {meta.get('format')!r}{maker}, and this version reads {FORMAT}")
    if missing := KEYS - set(meta):
        raise ValueError(f"{path}: damaged: {', '.join(sorted(missing))} missing")
    return meta


def algorithm_of(folder: Path | None) -> str | None:
    """The algorithm that trained the policy of a folder; None without a folder. ValueError as of `read_meta`."""
    return None if folder is None else read_meta(folder).get("algorithm")


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and header of a safetensors file; ValueError in one line where it is missing or damaged."""
    if not path.is_file():
        raise ValueError(f"{path}: missing")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        with safe_open(str(path), "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from None


def put_weights(policy: Any, weights: dict[str, torch.Tensor], where: Path) -> None:
    """Load weights into a policy; ValueError in one line for another shape or weights that are not finite."""
    try:
        policy.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: weights of another network: {str(error).splitlines()[-1].strip()}") from None
    put = policy.state_dict()
    broken = next((name for name, value in put.items() if not torch.isfinite(value).all()), None)
    if broken:
        beyond = torch.isfinite(weights[broken]).all()
        raise ValueError(f"{where}: {broken} {'does not fit into 32 bits' if beyond else 'is not finite'}")


def load(
    folder: str | Path, env: Any = None, scenario: Any = None, *, transfer: bool = False, allow_pickle: bool = False
) -> LearnedPolicy:
    """The trained policy of a folder.

    ValueError in one line where the folder is missing or damaged, where the spaces are not those of `env`, and where
    `scenario` is another world than it was trained in; `transfer=True` only asks for spaces that fit. A pickled .zip of
    SB3 is loaded with allow_pickle=True alone, since loading it runs code.
    """
    path = Path(folder)
    if path.suffix == ".zip":
        policy = _load_pickled(path, allow_pickle)
    else:
        meta = read_meta(path)
        if scenario is not None:
            meta = _fitted(meta, scenario, path, transfer)
        policy = LearnedPolicy(_network(meta, path), meta, path.resolve().name)
    if env is not None:
        network = policy.network
        there = spaces_of(env)
        there = (believed_speeds.widened(*there), there[1]) if getattr(network, "believes", False) else there
        there = (possible_behind.widened(*there), there[1]) if policy.sees_possible else there
        made, asked = ({"o": space} for space in ((network.observation_space, network.action_space), there))
        if made != asked:
            if hasattr(policy, "meta") and "scenario" in policy.meta:
                refuse_other_width(policy.meta, path)
            words = (" and ".join(map(str, pair["o"])) for pair in (made, asked))
            raise ValueError("{}: made for {}, but the environment has {}".format(path, *words))
    return policy


def _fitted(meta: dict[str, Any], scenario: Any, path: Path, transfer: bool) -> dict[str, Any]:
    """The description of a policy for a scenario, as `fitted` gives it; ValueError in one line where it is damaged."""
    asked = loading.load(scenario)
    try:
        return fitted(meta, asked, path, transfer=transfer)
    except ValueError:
        raise
    except DAMAGED as error:
        raise ValueError(f"{path / CARD}: damaged: {error}") from None


def _network(meta: dict[str, Any], path: Path) -> Any:
    """The network that policy.json describes, with its weights; ValueError in one line where something is damaged."""
    weights = read_tensors(path / WEIGHTS)[0]
    widest = max((side for value in weights.values() for side in value.shape), default=0)
    try:
        spaces = (space_of(meta["observation_space"]), space_of(meta["action_space"]))
        check_sizes(meta["policy_kwargs"], max(widest, LEAST_WIDEST))
        kind = policy_class(meta["policy"], masked=meta["task"] != "routing")
        network = kind(*spaces, lambda _: 0.0, **meta["policy_kwargs"])
    except DAMAGED as error:
        raise ValueError(f"{path / CARD}: damaged: {error}") from None
    if meta.get("other_fleet"):  # what was learned of places is of others
        weights[PLACES] = torch.zeros_like(network.state_dict()[PLACES])
    put_weights(network, weights, path / WEIGHTS)
    if meta.get("plays_as") and isinstance(network, SharedScorerPolicy):
        network.forget()
    network.set_training_mode(False)
    return network


def _load_pickled(path: Path, allow_pickle: bool) -> LearnedPolicy:
    """The policy of a .zip that SB3 saved; ValueError in one line where it is missing, untrusted or no such file."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if not allow_pickle:
        raise ValueError(f"{path}: a pickled model runs code when it is loaded: pass allow_pickle=True if you trust it")
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import PPO

    complaint = ""
    for algorithm, masked in ((MaskablePPO, True), (PPO, False)):
        try:
            network = algorithm.load(path, device="cpu").policy
        except Exception as error:
            complaint = str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        flat = isinstance(network.observation_space, gym.spaces.Box)
        joint = isinstance(network.action_space, gym.spaces.MultiDiscrete)
        task = "routing" if not masked else "joint" if joint else "placement"
        return LearnedPolicy(network, {"task": task, "env_kwargs": {"flatten": flat}}, path.stem)
    raise ValueError(f"{path}: not a model that SB3 can load: {complaint}")
