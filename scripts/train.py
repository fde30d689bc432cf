"""Train a policy by PPO: python scripts/train.py --scenario global-24 --env og_env/Placement-v0 --minutes 3 --seed 0."""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pydantic import ValidationError  # noqa: E402 (threads are set before numpy loads)

from og_env import IDS, config  # noqa: E402
from og_env.parsing import nearest_valid  # noqa: E402

TASKS = {env_id: task for task, env_id in IDS.items()}
NO_LIMIT = 1_000_000_000


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(message))


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--scenario", default=None, help="name or file (default: global-24)")
    parser.add_argument("--env", default=None, help=f"one of {', '.join(TASKS)}")
    parser.add_argument("--timesteps", type=int, default=None, help="environment steps (default: 1,000,000)")
    parser.add_argument("--minutes", type=float, default=None, help="stop by the clock")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="run folder (default: runs/SCENARIO-SEED)")
    parser.add_argument("--policy", choices=("shared", "mlp"), default=None, help="default: shared")
    parser.add_argument("--interface", choices=("proposals", "operations"), default=None)
    parser.add_argument("--n-envs", type=int, default=None)
    parser.add_argument("--config", type=Path, default=None, help="TOML file of settings (configs/training)")
    parser.add_argument("--resume", type=Path, default=None, help="run folder to go on with")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(arguments)


def read_settings(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def main(arguments: list[str] | None = None) -> int:
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(options)
    except ValueError as error:
        return fail(str(error).splitlines()[0])
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    for name in ("timesteps", "minutes", "n_envs"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} is {value}; it must be above 0")
    if options.seed < 0:
        raise ValueError(f"--seed is {options.seed}; it must be 0 or more")
    chosen = read_settings(options.config)
    scenario, task = options.scenario or "global-24", "placement"
    if options.env is not None:
        if options.env not in TASKS:
            raise ValueError(f"unknown environment {options.env!r}{nearest_valid(options.env, TASKS)}")
        task = TASKS[options.env]
    if options.resume is not None:
        from agents import checkpoint

        meta = checkpoint.read_meta(options.resume)
        if options.scenario is not None and not checkpoint.same_world(
            config.load(meta["scenario"]), config.load(options.scenario)
        ):
            raise ValueError(
                f"{options.resume}: trained on scenario {config.load(meta['scenario']).name!r}, not {options.scenario!r}"
            )
        if options.env is not None and task != meta["task"]:
            raise ValueError(f"{options.resume}: trained on {IDS[meta['task']]}, not {options.env}")
        scenario, task = meta["scenario"], meta["task"]
        chosen = meta["settings"] | chosen
    spec = config.load(scenario)

    from agents import ppo

    for name in ("policy", "interface", "n_envs"):
        if getattr(options, name) is not None:
            chosen[name] = getattr(options, name)
    try:
        settings = ppo.TrainSettings.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        hint = nearest_valid(key, ppo.TrainSettings.model_fields) if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"{options.config or 'settings'}: {key}: {first['msg']}{hint}") from None
    out = options.out or options.resume or Path("runs") / f"{spec.name}-{options.seed}"
    timesteps = options.timesteps or (1_000_000 if options.minutes is None else NO_LIMIT)
    ppo.train(
        scenario,
        task,
        timesteps,
        seed=options.seed,
        out=out,
        settings=settings,
        minutes=options.minutes,
        resume=options.resume,
        quiet=options.quiet,
    )
    print(f"trained: {out} (benchmark it: python scripts/benchmark.py --scenario {spec.name} --policies all,{out})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
