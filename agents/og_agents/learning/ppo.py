"""Training by PPO: MaskablePPO on placement and joint control, PPO on routing, RecurrentPPO for networks with a memory."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from og_agents.heuristics.tuned_constants import constants_of
from og_agents.learning import (
    checkpoint,
    devices,
    loggers,
    possible_behind,
    resume_file,
    starting_planner,
    starting_router,
)
from og_agents.learning.believed_speeds import ROUTER, BelievedVecEnv, router_of
from og_agents.learning.blind_world import training_worlds
from og_agents.learning.branch_ppo import BranchPPO
from og_agents.learning.networks import ScorerSettings, policy_class
from og_agents.learning.operation_ppo import OperationPPO
from og_agents.learning.paired_levels import PairedPPO
from og_agents.learning.planner_return import Continuation
from og_agents.learning.resume_file import Progress
from og_agents.learning.run_folder import clear, held, stopped_at_once, stopped_by_signals
from og_agents.learning.run_record import describe_run
from og_agents.learning.shaped_reward import TrainingReward
from og_agents.learning.starting_planner import PLANNER
from og_agents.learning.time_discount import discount_by_time
from og_agents.learning.train_settings import Device, TrainSettings
from og_agents.learning.training_progress import Clock, MetricsFile, Watch, put_state
from og_agents.planners.routers import ROUTERS
from og_agents.sb3_adapter import SB3VecEnv
from og_env.scenario import loading
from og_env.scenario.specs import ScenarioSpec
from og_env.vector_env import NetworkVectorEnv

ALGORITHMS = {"MaskablePPO": MaskablePPO, "RecurrentPPO": RecurrentPPO, "PPO": PPO, "PairedPPO": PairedPPO}


def make_meta(
    settings: TrainSettings,
    task: str,
    spec: ScenarioSpec,
    seed: int,
    minutes: float | None = None,
    start: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The description that a checkpoint needs to rebuild its policy and to go on; ValueError for a policy that does not fit.

    `start` is what the policy begins as, as `starting_planner` or `starting_router` describes it. Without it that is the
    planner, unless settings ask for the nominal gain, or the router, with the constants of the scenario.
    """
    kind = settings.policy_kind(task)
    kwargs: dict[str, Any] = {"net_arch": [64, 64]}
    if kind == "lstm":
        kwargs = {"net_arch": [64], "lstm_hidden_size": 64}
    if kind == "shared":
        kwargs = {name: getattr(settings, name) for name in ScorerSettings._fields if name != "prior"}
        if settings.prior != "gain":
            kwargs["prior"] = dict(start["constants"]) if start else constants_of(spec.name, PLANNER)
    if kind == "operations":
        kwargs = {"models": len(spec.models), "hidden": settings.hidden, "sharpness": settings.branch_sharpness}
    algorithm = "RecurrentPPO" if kind == "lstm" else "PPO" if task == "routing" else "MaskablePPO"
    if kind == "sites":
        kwargs = {"hidden": settings.hidden, "controller": constants_of(spec.name, "site_prices")}
        kwargs["deviation"] = settings.level_deviation
        if settings.router == ROUTER:
            usual = starting_router.usual(constants_of(spec.name, ROUTER))
            kwargs["beliefs"] = dict(start["constants"]) if start else usual
        algorithm = "PairedPPO"
    elif task == "routing":
        kwargs["log_std_init"] = -1.0
    return {
        "algorithm": algorithm,
        "policy": kind,
        "policy_kwargs": kwargs,
        "task": task,
        "env_kwargs": {"flatten": True, **settings.env_kwargs(task)},
        "overrides": dict(ROUTERS[settings.router].overrides) if kind == "sites" else {},
        "seed": seed,
        "minutes": minutes,
        "settings": settings.model_dump(mode="json"),
        "scenario": spec.model_dump(mode="json", exclude_unset=True),
        **({} if start is None else {"start": dict(start)}),
    }


class Begun(NamedTuple):
    """How a new run begins."""

    meta: dict[str, Any]
    """its description"""
    spent_s: float
    """seconds that it took to find what it begins as"""
    filter: dict[str, torch.Tensor] | None
    """weights of the filter of a policy that routes by beliefs"""


def begun(
    settings: TrainSettings,
    task: str,
    spec: ScenarioSpec,
    seed: int,
    minutes: float | None,
    begin: Path | None,
    quiet: bool,
) -> Begun:
    """The beginning of a new run. One that begins with the weights of a policy keeps that policy's planner or router."""
    meta = make_meta(settings, task, spec, seed, minutes)
    if begin is not None:
        return Begun(_kept_start(meta, checkpoint.read_meta(begin)), 0.0, None)
    began = time.monotonic()
    told = (lambda line: None) if quiet else (lambda line: print(line, file=sys.stderr))
    limit_s = None if minutes is None else 60 * minutes
    if meta["policy"] == "shared" and settings.prior == "best":
        budget_s = None if limit_s is None else limit_s * starting_planner.SHARE
        planner = starting_planner.find(spec, seed, budget_s, told)
        episodes = starting_planner.evaluated(planner, limit_s, settings.evaluation_episodes)
        settings = settings.model_copy(update={"evaluation_episodes": episodes})
        meta = make_meta(settings, task, spec, seed, minutes, starting_planner.described(planner))
        return Begun(meta, time.monotonic() - began, None)
    if "beliefs" in meta["policy_kwargs"] and settings.filtered:
        budget_s = None if limit_s is None else limit_s * starting_router.SHARE
        found = starting_router.find(spec, constants_of(spec.name, ROUTER), seed, budget_s, told)
        meta = make_meta(settings, task, spec, seed, minutes, starting_router.described(found))
        return Begun(meta, time.monotonic() - began, found.weights)
    return Begun(meta, 0.0, None)


def _kept_start(meta: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the planner or the router of an earlier one of the same kind of policy."""
    for name in ("prior", "beliefs"):
        had = before.get("policy_kwargs", {}).get(name)
        if had is not None and name in meta["policy_kwargs"]:
            meta["policy_kwargs"][name] = had
    return meta


def gone_on(
    settings: TrainSettings, task: str, spec: ScenarioSpec, seed: int, minutes: float | None, done: Progress
) -> dict[str, Any]:
    """The description of a run that goes on: it keeps what it began as, and the episodes of its validations."""
    settings = validated_as(settings, done.meta)
    return _kept_start(make_meta(settings, task, spec, seed, minutes, done.meta.get("start")), done.meta)


def validated_as(settings: TrainSettings, meta: Mapping[str, Any]) -> TrainSettings:
    """Settings with as many episodes in a validation as a description has, which may be fewer than asked for."""
    return settings.model_copy(update={"evaluation_episodes": meta["settings"]["evaluation_episodes"]})


def training_env(
    spec: ScenarioSpec, meta: dict[str, Any], settings: TrainSettings, *, together: bool = False
) -> TrainingReward:
    """The environments of training, as `training_worlds` makes them; `together` lets their episodes begin and end together."""
    spec = loading.override(spec, meta["overrides"]) if meta["overrides"] else spec
    env = training_worlds(spec, meta, settings)
    if "beliefs" in meta["policy_kwargs"]:
        return TrainingReward(BelievedVecEnv(env, router_of(meta)), settings.reward_scale, together=together)
    if meta["policy"] == "operations":
        return TrainingReward(possible_behind.PossibleVecEnv(env), settings.reward_scale, together=together)
    kept = settings.branched(meta["task"]) and not together  # a learner on a cluster has no branches
    shaped = (
        settings.credit != "reward" and not kept and meta["task"] != "routing" and settings.interface == "proposals"
    )
    prior = meta["policy_kwargs"].get("prior")
    ahead = Continuation(env, horizon=settings.branch_horizon, constants=prior) if shaped else None
    return TrainingReward(SB3VecEnv(env), settings.reward_scale, ahead, settings.shaped_bend, together)


def build(
    env: VecEnv, meta: dict[str, Any], settings: TrainSettings, clock: Clock, seed: int, device: str = devices.CPU
) -> MaskablePPO | RecurrentPPO | PPO:
    """The SB3 algorithm of the settings; its learning rate falls with the share of the run that the clock has counted."""
    last = settings.final_learning_rate_share

    def learning_rate(left: float) -> float:
        left = min(left, 1 - clock.share(0))
        return settings.learning_rate * (last + (1 - last) * max(left, 0.0))

    algorithm: Any = ALGORITHMS[meta["algorithm"]]
    length: dict[str, Any] = {"n_steps": settings.n_steps, "batch_size": settings.minibatch}
    branched = settings.branched(meta["task"])
    if branched:
        spacing, moments, bend = settings.branch_spacing, settings.branch_moments, settings.branch_bend
        algorithm = BranchPPO
        length = {"spacing": spacing, "horizon": settings.branch_horizon, "moments": moments, "bend": bend}
        length |= {"rounds": settings.branch_rounds, "divergence": settings.branch_divergence}
        length |= {"average": settings.branch_average, "parts": settings.branch_parts}
        length |= {"batch_size": settings.minibatch_of(moments)}
        if meta["policy"] == "operations":
            algorithm = OperationPPO
            length["tries"] = settings.branch_tries
    if algorithm is PairedPPO:
        length |= {"tries": settings.level_tries, "horizon": settings.level_horizon}
    model = algorithm(
        policy_class(meta["policy"], masked=issubclass(algorithm, MaskablePPO)),
        env,
        **length,
        learning_rate=learning_rate,
        n_epochs=settings.n_epochs,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        ent_coef=settings.ent_coef,
        vf_coef=0.0 if branched or algorithm is PairedPPO else settings.vf_coef,
        max_grad_norm=settings.max_grad_norm,
        target_kl=None if branched else settings.target_kl,
        policy_kwargs=dict(meta["policy_kwargs"]),
        seed=seed,
        device=device,
    )
    plain = not branched and algorithm is not PairedPPO
    if plain and loading.load(meta["scenario"]).episode.operations_per_step > 1:
        discount_by_time(model, env)
    return model


def train(
    scenario: Any,
    task: str,
    settings: TrainSettings,
    *,
    seed: int,
    out: Path,
    minutes: float | None = None,
    resume: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    begin: Path | None = None,
    logged: Sequence[str] = loggers.USUAL,
    device: Device = "auto",
) -> Path:
    """Train until `settings.timesteps` or, with `minutes`, until the clock says so, and return the run folder `out`.

    The folder holds the checkpoint that was best on the validation split (policy.safetensors, policy.json), the last
    state (resume.safetensors), config.json, metrics.csv and tb/. `resume` goes on with the run that `out` holds, bit for
    bit as if it had not stopped: steps and minutes are those of the whole run. `begin` is the folder of a policy whose
    weights a new run starts with. `logged` names the loggers beside metrics.csv, and `device` is where the network learns.
    `quiet` tells nothing, `verbose` also a line for each update that is logged. The same seed gives the same weights unless
    `minutes` decides the end.
    Raises Interrupted after a signal, when all is saved; ValueError for a run that is damaged, complete or being written.
    """
    torch.set_num_threads(1)
    where, spec, settings = devices.chosen(device), loading.load(scenario), settings.softened(task)
    with held(out, make=not resume), stopped_by_signals() as stop:
        state, done = resume_file.read(out) if resume else ({}, None)
        start = Begun(gone_on(settings, task, spec, seed, minutes, done), 0.0, None) if done is not None else None
        start = start or begun(settings, task, spec, seed, minutes, begin, quiet)
        meta, settings = start.meta, validated_as(settings, start.meta)
        meta["begun_from"] = checkpoint.algorithm_of(begin) if done is None else done.meta.get("begun_from")
        clock = Clock(settings.timesteps, minutes)
        if done is not None:
            refuse_complete(out, done, clock)
        env = training_env(spec, meta, settings)
        _compile(spec, meta)
        model = build(env, meta, settings, clock, seed, where)
        env.seed(mixed(seed, 0))
        if done is not None:
            put_state(model, state, out / resume_file.RESUME)
            model.num_timesteps = done.timesteps
        else:
            _put_start(model.policy, start, begin)
            clear(out)
        record = describe_run(meta, device=where, resumed_at=None if done is None else done.timesteps)
        checkpoint.write_json(out / "config.json", record)
        file = MetricsFile(out / "metrics.csv", 0 if done is None else done.rows)
        model.set_logger(Logger(None, [file, *loggers.opened(logged, out, meta)]))
        clock.start(start.spent_s if done is None else done.elapsed_s)
        watch = Watch(out, meta, spec, settings, clock, file, stop, done, quiet, verbose)
        try:
            _learn(model, watch, settings, done is None)
        finally:
            watch.close()
            model.logger.close()
            env.close()
    return out


def _put_start(policy: Any, start: Begun, begin: Path | None) -> None:
    """Put the weights of a fitted filter, or of the policy folder `begin`, into an untrained policy."""
    if start.filter is not None:
        policy.mlp_extractor.filter.load_state_dict(start.filter)
    if begin is not None:
        checkpoint.put_weights(policy, checkpoint.read_tensors(begin / checkpoint.WEIGHTS)[0], begin)


def refuse_complete(out: Path, done: Progress, clock: Clock) -> None:
    """ValueError in one line for a run that has come to its end."""
    if done.timesteps >= (clock.timesteps or math.inf) or done.elapsed_s >= clock.limit_s:
        so_far = f"{done.timesteps:,} steps in {done.elapsed_s / 60:.1f} minutes"
        raise ValueError(f"{out}: the run is complete ({so_far}): ask for more timesteps or minutes in all")


def _compile(spec: ScenarioSpec, meta: dict[str, Any]) -> None:
    """Play a step, so that compiling the kernels, once on a machine, does not count as training time."""
    env = NetworkVectorEnv(1, meta["task"], spec, **meta["env_kwargs"])
    env.reset()
    env.step(np.zeros(env.action_space.shape or (), env.action_space.dtype))
    env.close()


def _learn(model: Any, watch: Watch, settings: TrainSettings, fresh: bool) -> None:
    """Learn to the end of the run, validate once more and save."""
    try:
        left = settings.timesteps - (0 if fresh else model.num_timesteps)
        model.learn(left, callback=watch, reset_num_timesteps=fresh, log_interval=None)  # the watch logs
        watch.validate()
        watch.save()
    except KeyboardInterrupt:
        raise stopped_at_once(watch.folder, watch.stop) from None


def mixed(*numbers: int) -> int:
    """A seed for a tuple of numbers, different for every tuple, so that neighbouring seeds do not share episodes."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
