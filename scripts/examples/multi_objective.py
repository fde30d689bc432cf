"""MO-Gymnasium: the terms as a vector reward, and what other weights would choose; needs the extra `mo`.

python scripts/examples/multi_objective.py --scenario global-16 --episodes 4
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import mo_gymnasium
import numpy as np
from mo_gymnasium.wrappers import LinearReward, MORecordEpisodeStatistics

import og_env
from og_env.simulator import TERMS

HORIZON = 24
"""steps that the planner looks ahead"""


def play(env: Any, weights: np.ndarray, episodes: int) -> np.ndarray:
    """Mean vector return [6] of the planner that prices every offer with these weights."""
    core, returns = env.unwrapped, []
    for episode in range(episodes):
        env.reset(seed=episode)
        ended, info = False, {}
        while not ended:
            offers = np.flatnonzero(core.action_masks())
            gains = -core.simulate(offers, HORIZON).terms.sum(axis=1) @ weights
            *_, ended, info = env.step(int(offers[np.argmax(gains)]))
        returns.append(info["episode"]["r"])
    return np.mean(returns, axis=0)


def main(arguments: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Play with several preferences, and return the vector return of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="global-16")
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--short", action="store_true", help="one episode of one preference, to see that it runs")
    options = parser.parse_args(arguments)
    made = mo_gymnasium.make(og_env.IDS["placement"], scenario=options.scenario, reward="vector", split="validation")
    # the scalar reward is this scalarisation, should a single-objective learner want it
    own = np.asarray(made.unwrapped.reward_weights)  # type: ignore[attr-defined]
    env = LinearReward(MORecordEpisodeStatistics(made), weight=own)
    preferences = {"the scenario's": own}
    if not options.short:
        for term in ("cost", "exposure", "latency"):
            preferences[f"4 x {term}"] = own * np.where(np.array(TERMS) == term, 4.0, 1.0)
    found = {}
    print(f"{'weights':>16}", *(f"{term:>10}" for term in TERMS), f"{'scalar':>10}")
    for name, weights in preferences.items():
        found[name] = play(env, weights, 1 if options.short else options.episodes)
        print(f"{name:>16}", *(f"{value:10.2f}" for value in found[name]), f"{found[name] @ own:10.2f}")
    env.close()
    return found


if __name__ == "__main__":
    main()
