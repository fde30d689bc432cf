"""Slices of environments: cut by their number alone, equal on any number of threads, saved and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from og_agents.learning import branch_slices, rollout_policy_iteration
from og_agents.learning.branch_slices import SLICE, Slices, turns
from og_agents.learning.counterfactual_branches import Branches
from og_agents.learning.rollout_policy_iteration import Learner, untrained
from og_env.vector_env import NetworkVectorEnv
from tests.cases.short_training import short_world, small_settings

WORLD = short_world()
WHERE = Path("run") / "resume.safetensors"


def described(seed: int = 0, **changes: Any) -> dict[str, Any]:
    settings = small_settings(**{"n_envs": 5, "branch_horizon": 3, "branch_spacing": 2, **changes})
    return rollout_policy_iteration.described(settings, WORLD, seed, None)


def learner(meta: dict[str, Any]) -> Learner:
    torch.manual_seed(0)
    env = branch_slices.worlds(meta, 1)
    return Learner(untrained(env, meta), branch_slices.settings_of(meta), 0)


def same(one: Branches, other: Branches) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("n_envs", "sizes"),
    [(1, [1]), (2, [1, 1]), (5, [3, 2]), (SLICE, [SLICE // 2] * 2), (2 * SLICE + 1, [SLICE, SLICE, 1])],
)
def test_slices_depend_on_the_number_of_environments_alone(n_envs, sizes):
    cut = turns(described(seed=3, n_envs=n_envs), 7)
    assert [turn.rows for turn in cut] == sizes and {(turn.seed, turn.round) for turn in cut} == {(3, 7)}
    assert [turn.first for turn in cut] == [sum(sizes[:number]) for number in range(len(sizes))]
    assert [turn.number for turn in cut] == list(range(len(sizes)))


def test_threads_change_nothing_and_environments_keep_their_seeds():
    meta = described(seed=4, n_envs=5)
    policy = learner(meta).policy
    one, three = Slices(meta, threads=1), Slices(meta, threads=3)
    rounds = [[slices.play(policy) for _ in range(2)] for slices in (one, three)]
    assert all(same(left, right) for left, right in zip(*rounds, strict=True))
    assert not same(rounds[0][0], rounds[0][1])
    together = NetworkVectorEnv(5, "placement", WORLD, split="train", **meta["env_kwargs"])
    observation, _ = together.reset(seed=4)
    first = rounds[0][0].observations  # two moments of three environments, then two moments of two
    assert np.array_equal(first[:3], observation[:3]) and np.array_equal(first[6:8], observation[3:])
    for slices in (one, three):
        slices.close()


def test_a_turn_says_what_is_random():
    meta = described()
    policy = learner(meta).policy
    part, (first, second) = branch_slices.Slice(meta, 2), turns(described(n_envs=4), 0)
    part.begin(first)
    state = part.env.get_state()
    alike = []
    for turn in (first, first, second, first._replace(round=1), first._replace(seed=1)):
        part.set_state(state)
        alike.append(part.play(policy, turn))
    assert same(alike[0], alike[1]) and not any(same(alike[0], other) for other in alike[2:])


def test_slices_go_on_where_they_were_saved():
    meta = described()
    policy = learner(meta).policy
    alone, other = Slices(meta), Slices(meta)
    alone.play(policy)
    state = alone.get_state()
    expected = alone.play(policy)
    other.set_state(state, WHERE)
    assert same(other.play(policy), expected)
    for slices in (alone, other):
        slices.close()


def test_states_of_other_runs_are_one_line():
    slices = Slices(described(n_envs=4))
    slices.play(learner(slices.meta).policy)
    state = slices.get_state()
    for n_envs, message in ((3, "state is of environments 2, and here it is 1"), (1, "2 slices of environments")):
        other = Slices(described(n_envs=n_envs))
        with pytest.raises(ValueError, match=message):
            other.set_state(state, WHERE)
    with pytest.raises(ValueError, match=r"begin anew from its policy with --start run$"):
        slices.set_state({"tape.signal": state["0.tape.signal"]}, WHERE)


def test_only_offers_are_branched():
    with pytest.raises(ValueError, match="branches choose among offers alone"):
        Slices(described(interface="operations", policy="mlp"))
