"""Train a policy by PPO, or by rollout policy iteration, with its run folder: checkpoint, metrics, logs, config.

og-env train --scenario global-24 --env og_env/Placement-v1 --timesteps 250000 --seed 0 --out runs/ppo
og-env train --scenario global-24 --algorithm rpi --minutes 5 --out runs/rpi
og-env train --scenario global-24 --start runs/rpi --minutes 5 --out runs/ppo-from-rpi
og-env train --scenario one-cloud --env og_env/Joint-v1 --minutes 10
og-env train --scenario one-cloud --env og_env/Joint-v1 --algorithm rpi --router convex --minutes 10
og-env train --scenario one-cloud --env og_env/Joint-v1 --steering domains --minutes 10
og-env train --scenario one-cloud --env og_env/Routing-v1 --interface sites --minutes 10
og-env train --resume runs/ppo
og-env train --engine rllib --num-env-runners 8 --ray-address 10.0.0.5:6379
og-env train --algorithm rpi --engine ray --ray-address 10.0.0.5:6379
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")

from og_agents.commands.json_output import Ended, Json, add_json_option, answered
from og_agents.evaluation.progress import add_progress_options
from og_agents.learning import train_settings
from og_agents.learning.train_settings import Device, TrainSettings
from og_env import IDS, TASKS, task_of
from og_env.errors import Parser, guarded
from og_env.scenario import loading
from og_env.scenario.overrides import changes_of

INTERFACES, STEERINGS = ("proposals", "operations", "knobs", "sites"), ("knobs", "sites", "domains")
BLIND = tuple(word for word in get_args(TrainSettings.model_fields["blind"].annotation) if word != "none")
"""dimensions of the world that a policy can be trained without"""
ROUTERS = get_args(TrainSettings.model_fields["router"].annotation)
"""routers that a policy can be trained beside, or begin as"""
POLICIES = ("shared", "sites", "operations", "mlp", "lstm")
NO_LIMIT = 10**12
"""timesteps of a run that ends by the clock"""
CHANGES = ("policy", "interface", "steering", "router", "blind", "n_envs", "timesteps")
"""options of the command that are settings of the training"""
LENGTH = {"ppo": "timesteps", "rpi": "branch_states"}
"""the setting that ends a run, by algorithm"""


class Run(NamedTuple):
    """A training run, as the options ask for it."""

    scenario: Any
    task: str
    settings: TrainSettings
    seed: int
    out: Path
    minutes: float | None
    algorithm: str = "ppo"
    start: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return guarded(
        lambda: answered(lambda: start(resumed(options) if options.resume else fresh(options), options), options.json)
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line, checked."""
    parser = Parser(__doc__, prog="og-env train")
    parser.add_argument("--scenario", metavar="S", help="name or file (default: global-24)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change the scenario, such as reward.exposure=0"
    )
    parser.add_argument("--env", metavar="ID", help=f"one of {', '.join(TASKS)} (default: {next(iter(TASKS))})")
    parser.add_argument(
        "--timesteps", type=int, metavar="N", help="environment steps, of rpi states, in all (default: the settings')"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="stop after so long in all; the learning rate follows"
    )
    parser.add_argument("--seed", type=int, metavar="K", help="the same seed gives the same weights (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/SCENARIO-TASK-SEED)")
    parser.add_argument("--algorithm", choices=("ppo", "rpi"), help="rpi: rollout policy iteration (default: ppo)")
    parser.add_argument("--start", type=Path, metavar="DIR", help="begin with a trained policy's weights")
    parser.add_argument("--policy", choices=POLICIES, help="network (default: shared or sites where it fits)")
    parser.add_argument("--interface", choices=INTERFACES, help="actions (default: proposals, of Routing knobs)")
    parser.add_argument("--steering", choices=STEERINGS, help="of Joint: what is set beside placement (default: knobs)")
    parser.add_argument(
        "--router",
        choices=ROUTERS,
        help="of Joint with --algorithm rpi: steers while the policy places; of Routing by sites: the start (default: convex)",
    )
    parser.add_argument(
        "--blind", choices=BLIND, help="train without a dimension of the world, to see what it is worth"
    )
    parser.add_argument("--n-envs", type=int, metavar="B", help="environments side by side")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML with other settings than configs/training")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with a run, with its own settings")
    parser.add_argument(
        "--logger",
        metavar="A,B",
        help="of tensorboard (default), csv (metrics.csv alone), wandb and mlflow, where they are installed",
    )
    parser.add_argument(
        "--compare",
        type=int,
        metavar="N",
        help="at the end play the baselines on N validation episodes, and say who is better (default: 32, and fewer for "
        "large fleets; 0: do not)",
    )
    add_engine_options(parser)
    add_json_option(parser)
    add_progress_options(parser)
    options = parser.parse_args(arguments)
    check_engine(parser, options)
    if options.logger is not None and (options.engine != "sb3" or options.algorithm == "rpi"):
        parser.error("--logger needs the algorithm ppo and the engine sb3")
    if options.compare is not None and (options.compare < 0 or options.compare == 1):
        parser.error(f"--compare is {options.compare}; it must be 0, or 2 or more")
    if options.minutes is not None and not 0 < options.minutes < 1e6:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0")
    if options.seed is not None and not 0 <= options.seed < 2**32:
        parser.error(f"--seed is {options.seed}; it must be from 0 to 2^32 - 1")
    return options


def add_engine_options(parser: Parser) -> None:
    """Options that say where training runs."""
    parser.add_argument(
        "--engine",
        default="sb3",
        choices=("sb3", "rllib", "ray"),
        help="sb3: this machine alone (default); on a Ray cluster, rllib: PPO; ray: rpi, with the weights of sb3",
    )
    parser.add_argument("--num-env-runners", type=int, metavar="N", help="workers of rllib (default: 2)")
    parser.add_argument(
        "--ray-address", metavar="ADDR", help="host:port of a Ray cluster (default: one of this machine)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=get_args(Device),
        help="where the network learns (default: auto, which is cpu: the same numbers on every machine)",
    )


def check_engine(parser: Parser, options: argparse.Namespace) -> None:
    """End with an error for an option that the chosen engine does not have."""
    if options.engine == "sb3":
        if options.ray_address is not None:
            parser.error("--ray-address needs --engine rllib or ray")
    if options.engine != "rllib":
        if options.num_env_runners is not None:
            parser.error("--num-env-runners needs --engine rllib")
        if options.engine == "ray" and options.resume is None and options.algorithm != "rpi":
            parser.error("--engine ray needs --algorithm rpi; PPO is trained on a Ray cluster with --engine rllib")
        return
    if options.algorithm == "rpi":
        parser.error("--algorithm rpi needs --engine sb3 or ray")
    if options.start is not None:
        parser.error("--start needs the engine sb3, or ray with --algorithm rpi")
    if options.blind is not None:
        parser.error("--blind needs the engine sb3")
    if options.num_env_runners is None and options.resume is None:
        options.num_env_runners = 2


def fresh(options: argparse.Namespace) -> Run:
    """The new run that the options ask for; everything is checked before anything heavy is loaded."""
    env_id = options.env or next(iter(TASKS))
    task = task_of(env_id)
    scenario = options.scenario or "global-24"
    spec = loading.override(loading.load(scenario), changes_of(options.set))
    changes = {name: getattr(options, name) for name in CHANGES if getattr(options, name) is not None}
    algorithm = options.algorithm or "ppo"
    length = LENGTH[algorithm]
    if "timesteps" in changes:
        changes[length] = changes.pop("timesteps")
    if options.minutes is not None:
        changes.setdefault(length, NO_LIMIT)
    file = settings_file(options, algorithm, task, len(loading.sites_of(spec)))
    settings, seed = train_settings.load(file, changes), options.seed or 0
    settings.env_kwargs(task)  # what the task does not have is refused here
    if settings.policy_kind(task) == "lstm" and (algorithm == "rpi" or options.engine == "rllib"):
        raise ValueError("--policy lstm is trained by PPO with the engine sb3: take shared or mlp")
    kind = settings.policy_kind(task)
    if kind in ("sites", "operations") and options.engine == "rllib":
        raise ValueError(f"--policy {kind} is trained by the engine sb3: take mlp")
    check_router(options, algorithm, task, settings)
    if options.start is not None:
        from og_agents.learning import checkpoint, router_beside

        router_beside.refuse_other_start(options.start, checkpoint.read_meta(options.start), algorithm, task)
    out = options.out or Path("runs") / f"{spec.name}-{task}-{seed}"
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, not a run folder")
    return Run(spec, task, settings, seed, out, options.minutes, algorithm, options.start)


def check_router(options: argparse.Namespace, algorithm: str, task: str, settings: TrainSettings) -> None:
    """ValueError in one line where rpi has no offers to try, or where a router is named or left out in vain."""
    if algorithm == "rpi" and (task == "routing" or settings.interface != "proposals"):
        raise ValueError(
            "--algorithm rpi tries offers alone: take --env og_env/Placement-v1 or og_env/Joint-v1 with "
            "--interface proposals"
        )
    beside = algorithm == "rpi" and task == "joint"
    steering = options.steering or settings.steering.replace("knobs", "sites")  # knobs are what settings say by default
    if beside and steering != "sites":
        raise ValueError(f"--algorithm rpi places beside a router of sites: take steering sites, not {steering}")
    if options.router is not None and not beside and (task, settings.interface) != ("routing", "sites"):
        raise ValueError(
            f"--router {options.router} needs --env og_env/Joint-v1 --algorithm rpi, or "
            "--env og_env/Routing-v1 --interface sites"
        )


def settings_file(options: argparse.Namespace, algorithm: str, task: str, sites: int) -> Path | None:
    """The file of --config, or shipped settings: of levels of sites, all operations, PPO on from rpi, or large fleets."""
    if options.config is None and (task, options.interface) == ("routing", "sites"):
        return train_settings.shipped_file("routing") if options.policy in (None, "sites") else None
    if options.config is None and (task, options.interface) == ("placement", "operations"):
        return train_settings.shipped_file("operations") if options.policy in (None, "operations") else None
    if options.start is None:
        placed = task == "placement" or (task, algorithm) == ("joint", "rpi")
        large = options.config is None and placed and sites >= train_settings.LARGE
        return train_settings.shipped_file("large") if large else options.config
    from og_agents.learning import checkpoint

    begun_from = checkpoint.algorithm_of(options.start)
    if options.config is None and (algorithm, begun_from) == ("ppo", "rpi"):
        return train_settings.shipped_file("from-rpi")
    return options.config


def resumed(options: argparse.Namespace) -> Run:
    """The run that --resume goes on with; only its length may change."""
    for name in (
        "scenario",
        "env",
        "seed",
        "out",
        "policy",
        "interface",
        "steering",
        "router",
        "blind",
        "n_envs",
        "config",
        "algorithm",
        "start",
        "set",
    ):
        if getattr(options, name) not in (None, []):
            raise ValueError(f"--{name.replace('_', '-')} cannot change in a run that goes on: {options.resume}")
    from og_agents.learning import resume_file

    path = options.resume / resume_file.RESUME
    state, progress = resume_file.read(options.resume)
    check_engine_of(state.get(resume_file.RUNNERS), options)
    meta = progress.meta
    try:
        values, algorithm = dict(meta["settings"]), "rpi" if meta["algorithm"] == "rpi" else "ppo"
        if options.engine == "ray" and algorithm != "rpi":
            raise ValueError(f"--engine ray goes on with runs of rpi alone, and {options.resume} is one of ppo")
        if options.timesteps is not None:
            values[LENGTH[algorithm]] = options.timesteps
        settings = train_settings.check(values, str(path))
        minutes = meta.get("minutes") if options.minutes is None else options.minutes
        spec = loading.load(meta["scenario"])
        return Run(spec, meta["task"], settings, meta["seed"], options.resume, minutes, algorithm)
    except (KeyError, TypeError):
        raise ValueError(f"{path}: damaged: its header does not say what the run was") from None


def check_engine_of(runners: int | None, options: argparse.Namespace) -> None:
    """ValueError in one line where a run goes on with another engine, or with other runners of RLlib, than it began with.

    `runners` are those of the run, None where RLlib did not train it; the options take them over.
    """
    if runners is None:
        if options.engine == "rllib":
            raise ValueError(f"{options.resume}: RLlib did not train this run: leave --engine rllib out")
        return
    if options.engine != "rllib":
        raise ValueError(f"{options.resume}: RLlib trained this run: it goes on with --engine rllib")
    if options.num_env_runners not in (None, runners):
        raise ValueError(f"--num-env-runners is {options.num_env_runners}, and the run has {runners}")
    options.num_env_runners = runners


def start(run: Run, options: argparse.Namespace) -> Ended:
    """Train; the exit code is 130 after Ctrl-C and 143 after SIGTERM."""
    from og_agents.learning import run_folder

    name, env_id = options.scenario or run.scenario.name, IDS[run.task]  # type: ignore[index]
    asked: Json = {"out": str(run.out), "scenario": name, "env": env_id, "algorithm": run.algorithm, "seed": run.seed}
    try:
        out = learn(run, options)
    except run_folder.Interrupted as stopped:
        print(stopped, file=sys.stderr)
        go_on = run_folder.resume_command(run.out, options.engine)
        return Ended({**asked, "stopped": True, "go_on": go_on}, stopped.code)
    except OSError as error:
        left = what_is_left(run.out, options.engine)
        raise ValueError(f"{error.filename or run.out}: {error.strerror or error}{left}") from None
    print(f"trained: {out}")
    if options.compare != 0:
        from og_agents.learning import against_baselines

        told = (lambda line: None) if options.quiet else (lambda line: print(line, file=sys.stderr))
        standing = against_baselines.stand(out, run.scenario, run.task, episodes=options.compare, played=told)
        print(f"verdict: {standing.verdict}")
        asked["verdict"] = standing.verdict
    compare = f"og-env benchmark --scenario {name} --env {env_id} --policies all,{out}"
    print(f"compare: {compare}")
    return Ended({**asked, "stopped": False, **of_card(out), "compare": compare})


def of_card(out: Path) -> Json:
    """The figures of a trained policy's card: how long it learned, how it did, how it stands against the baselines."""
    from og_agents.learning import against_baselines, checkpoint

    card = checkpoint.read_meta(out)
    names = ("timesteps", "branch_states", "validation_return", against_baselines.KEY)
    return {name: card[name] for name in names if name in card}


def learn(run: Run, options: argparse.Namespace) -> Path:
    """Train by the algorithm and the engine that are asked for; returns the run folder."""
    from og_agents.learning import loggers, ppo, rollout_policy_iteration

    common: dict[str, Any] = {"seed": run.seed, "out": run.out, "minutes": run.minutes}
    common |= {"quiet": options.quiet, "verbose": options.verbose}
    if options.engine == "rllib":
        return on_cluster(run, options, common)
    begun: dict[str, Any] = {"begin": run.start, "resume": options.resume is not None, "device": options.device}
    if run.algorithm == "rpi":
        with slices(options) as spread:
            begun |= {"spread": spread, "task": run.task}
            return rollout_policy_iteration.train(run.scenario, run.settings, **begun, **common)
    common["logged"] = loggers.USUAL if options.logger is None else loggers.checked(options.logger)
    return ppo.train(run.scenario, run.task, run.settings, **begun, **common)


def what_is_left(out: Path, engine: str) -> str:
    """End of the message of a run that could not write: how to go on with what was saved before."""
    from og_agents.learning import resume_file
    from og_agents.learning.run_folder import resume_command

    if not (out / resume_file.RESUME).is_file():
        return ""
    return f"; what was saved before is whole: go on with: {resume_command(out, engine)}"


@contextlib.contextmanager
def slices(options: argparse.Namespace) -> Iterator[Any]:
    """The places of rpi's rounds: on threads here, or on the Ray cluster that the options ask for."""
    if options.engine != "ray":
        from og_agents.learning.branch_slices import Slices

        yield Slices
        return
    from og_agents.cluster import ray_cluster

    with ray_cluster.connected(options.ray_address):
        from og_agents.cluster.ray_branches import RaySlices

        yield RaySlices


def on_cluster(run: Run, options: argparse.Namespace, common: dict[str, Any]) -> Path:
    """Train by RLlib; returns the run folder."""
    if options.device == "cuda":
        raise ValueError("--device cuda needs --engine sb3 or ray")
    from og_agents.cluster import ray_cluster

    with ray_cluster.connected(options.ray_address, options.num_env_runners):
        from og_agents.cluster import rllib_train

        common |= {"runners": options.num_env_runners, "resume": options.resume is not None}
        return rllib_train.train(run.scenario, run.task, run.settings, **common)


if __name__ == "__main__":
    sys.exit(main())
