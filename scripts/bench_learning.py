"""How fast policies learn: branched states a second, steps of PPO a second, and the time to a gain over the best baseline.

python scripts/bench_learning.py
python scripts/bench_learning.py --minutes 5 --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.evaluation import playing
from og_agents.learning import against_baselines, ppo, rollout_policy_iteration, train_settings
from og_agents.learning.branch_slices import Slices
from og_agents.learning.training_progress import Clock
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.csv_file import read_records
from og_env.scenario.specs import ScenarioSpec

BATCHES = {"global-24": 64, "global-64": 16, "global-512": 2}
"""environments side by side, by scenario"""
GAIN = 0.02
"""share of the best baseline's return, by which a policy must be above it"""
LEARNER = "global-24"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, metavar="M", help="most time to a gain (default: 3)")
    parser.add_argument("--only", metavar="NAME,...", help="of the figures (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    figures: dict[str, Any] = {f"states_per_s_{name.split('-')[1]}": (states_per_s, name) for name in BATCHES}
    figures["seconds_to_gain_global_24"] = (seconds_to_gain, options.minutes)
    figures |= {f"ppo_steps_per_s_{task}": (ppo_steps_per_s, task) for task in ("placement", "routing")}
    wanted = list(figures) if options.only is None else [word.strip() for word in options.only.split(",")]
    for word in wanted:
        if word not in figures:
            raise ValueError(f"--only: no figure {word!r}; valid are {', '.join(figures)}")
    found = {}
    for word in wanted:
        measure, what = figures[word]
        found[word] = measure(what)
        if not options.json:
            print(f"{word}: {'not reached' if found[word] is None else format(found[word], '.4g')}", flush=True)
    if options.json:
        print(json.dumps(found))


def states_per_s(name: str) -> float:
    """States a second whose branches are run, with the playing between them, in a round after the first."""
    spec = loading.load(name)
    settings = train_settings.load(None, {"n_envs": BATCHES[name]})
    meta = rollout_policy_iteration.described(settings, spec, 0, None)
    rounds = Slices(meta)
    learner = rollout_policy_iteration.Learner(rollout_policy_iteration.untrained(rounds.env, meta), settings, 0)
    rounds.play(learner.policy)
    began = time.perf_counter()
    states = len(rounds.play(learner.policy).returns)
    seconds = time.perf_counter() - began
    rounds.close()
    return states / seconds


def ppo_steps_per_s(task: str) -> float:
    """Decisions a second of PPO's training in global-24, updates included, after the first update."""
    spec = loading.load(LEARNER)
    settings = train_settings.load(None, {"n_envs": 64, "interface": "sites"} if task == "routing" else {"n_envs": 64})
    meta = ppo.make_meta(settings, task, spec, 0)
    env = ppo.training_env(spec, meta, settings)
    model = ppo.build(env, meta, settings, Clock(None, None), 0)
    env.seed(0)
    model.learn(1)
    before, began = model.num_timesteps, time.perf_counter()
    model.learn(2 * before, reset_num_timesteps=False)
    steps, seconds = model.num_timesteps - before, time.perf_counter() - began
    env.close()
    return steps / seconds


def seconds_to_gain(minutes: float) -> float | None:
    """Seconds of training until a validation is 2 % above the best quick baseline; None where that was not reached."""
    spec = loading.load(LEARNER)
    settings = train_settings.load(None, {"branch_states": 10**9, "evaluations": 12})
    episodes = settings.evaluation_episodes
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        rollout_policy_iteration.train(spec, settings, seed=0, out=out, minutes=minutes, quiet=True)
        rows = [row for _, row in read_records(out / "metrics.csv")]
    best = max(_mean(policy, spec, episodes) for policy in against_baselines.baselines(spec, "placement").values())
    for row in rows:
        if float(row["validation/return"]) >= best + GAIN * abs(best):
            return float(row["time/elapsed_s"])
    return None


def _mean(policy: Any, spec: ScenarioSpec, episodes: int) -> float:
    return float(playing.run(policy, spec, "placement", episodes, 0, split="validation").returns.mean())


if __name__ == "__main__":
    sys.exit(main())
