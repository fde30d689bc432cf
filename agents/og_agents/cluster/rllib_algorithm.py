"""RLlib's PPO on fragments of experience that are asked for again where a runner died."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig  # pyright: ignore[reportMissingImports]
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner  # pyright: ignore[reportMissingImports]
from ray.rllib.connectors.learner import GeneralAdvantageEstimation  # pyright: ignore[reportMissingImports]
from ray.rllib.core import DEFAULT_MODULE_ID  # pyright: ignore[reportMissingImports]
from ray.rllib.core.rl_module.rl_module import RLModuleSpec  # pyright: ignore[reportMissingImports]
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME  # pyright: ignore[reportMissingImports]

from og_agents.cluster.rllib_advantages import TimeAdvantages
from og_agents.cluster.rllib_module import PolicyModule, packed_space
from og_agents.cluster.rllib_runner import Fragment, FragmentRunner, Position, mixed
from og_agents.learning import resume_file
from og_agents.learning.resume_file import State
from og_agents.learning.train_settings import TrainSettings
from og_env.scenario import loading
from og_env.vector_env import NetworkVectorEnv

PATIENCE_S = 300.0
"""time that a runner that died may take to come back"""
PAUSE_S = 0.5
ROUND, ACTIONS = "round.", "actions."
"""beginnings of the names in a state of where each runner stands"""


class PolicyLearner(PPOTorchLearner):
    """RLlib's learner with the optimizer of the policy, and with advantages by time where a step has several decisions."""

    def build(self) -> None:
        """Make the learner, with its pipeline."""
        super().build()
        if self.config.env_config["several"]:
            self._learner_connector.remove(GeneralAdvantageEstimation)
            self._learner_connector.append(TimeAdvantages(gamma=self.config.gamma, gae_lambda=self.config.lambda_))

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Give RLlib the optimizer that the policy asks for."""
        module = self.module[module_id]
        parameters, policy = self.get_parameters(module), module.unwrapped().policy
        optimizer = policy.optimizer_class(parameters, lr=config.lr, **policy.optimizer_kwargs)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters)


class FragmentPPO(PPO):
    """RLlib's PPO on fragments that are asked for again where a runner died."""

    positions: list[Position]
    update = 0
    offset = 0.0
    share = 0.0
    """share of the run that is done"""

    def step(self) -> dict[str, Any]:
        """Do one update; returns the means of the terms and metrics in its episodes."""
        settings, seed = self.config.env_config["settings"], self.config.env_config["seed"]
        fragments = self._fragments(settings["n_steps"], seed)
        self.positions = [fragment.position for fragment in fragments]
        last = settings["final_learning_rate_share"]
        rate = settings["learning_rate"] * (last + (1 - last) * (1 - self.share))
        self.learner_group.foreach_learner(lambda learner: set_rate(learner, rate))
        samples = settings["n_envs"] * settings["n_steps"]
        seed_everything(mixed(seed, self.update, 2))
        self.learner_group.update(
            episodes=[episode for fragment in fragments for episode in fragment.episodes],
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: (self.update + 1) * samples},
            num_epochs=self.config.num_epochs,
            minibatch_size=self.config.minibatch_size,
            shuffle_batch_per_epoch=True,
        )
        self.update += 1
        names = fragments[0].happened
        return {name: sum(part.happened[name] for part in fragments) / len(fragments) for name in names}

    def places(self) -> list[Position]:
        """Where each runner stands; all begin at the start of the first round."""
        return getattr(self, "positions", None) or [Position(0, [])] * max(self.config.num_env_runners, 1)

    def get_run_state(self) -> State:
        """All that the next update depends on."""
        found: list[State] = []
        self.learner_group.foreach_learner(lambda learner: found.append(resume_file.learned(*learning_of(learner))))
        state: State = found[0] | {"update": self.update, "offset": self.offset}
        for number, position in enumerate(self.places()):
            state |= {f"{ROUND}{number}": position.round, f"{ACTIONS}{number}": np.array(position.actions)}
        return state

    def set_run_state(self, state: State, where: Path) -> None:
        """Go on where `get_run_state` was called; ValueError in one line for the state of another run."""
        self.learner_group.foreach_learner(lambda learner: resume_file.put_learned(*learning_of(learner), state, where))
        try:
            self.update, self.offset = state["update"], state["offset"]
            runners = range(len(self.places()))
            self.positions = [Position(state[f"{ROUND}{i}"], list(state[f"{ACTIONS}{i}"])) for i in runners]
        except KeyError:
            raise ValueError(f"{where}: damaged: a part of the state is missing") from None

    def weights(self) -> dict[str, Any]:
        """Weights of the policy, as arrays."""
        return self.learner_group.get_weights()[DEFAULT_MODULE_ID]

    def _fragments(self, steps: int, seed: int) -> list[Fragment]:
        """Fragments of all runners, in their order; ValueError where a runner fails or stays away."""
        import ray  # pyright: ignore[reportMissingImports]

        group, count = self.env_runner_group, self.config.num_env_runners
        self.positions = self.places()
        common = {"update": self.update, "steps": steps, "offset": self.offset, "seed": seed}
        if count == 0:
            found = [group.local_env_runner.fragment(weights=self.weights(), position=self.positions[0], **common)]
            return [checked(fragment) for fragment in found]
        common["weights"] = ray.put(self.weights())
        fragments: dict[int, Fragment] = {}
        heard_s = time.monotonic()
        while missing := [number for number in range(count) if number not in fragments]:
            answers = group.foreach_env_runner(
                "fragment",
                kwargs=[common | {"position": self.positions[number]} for number in missing],
                local_env_runner=False,
                healthy_only=False,
                mark_healthy=True,
                remote_worker_ids=[number + 1 for number in missing],
            )
            for fragment in map(checked, answers):
                fragments[fragment.runner] = fragment
            if answers:
                heard_s = time.monotonic()
            if time.monotonic() - heard_s > PATIENCE_S:
                raise ValueError(f"env runners {missing} are gone from the cluster for {PATIENCE_S:.0f} s")
            if len(missing) > len(answers):
                time.sleep(PAUSE_S)
        return [fragments[number] for number in range(count)]


def checked(answer: Fragment | ValueError) -> Fragment:
    """The fragment; raises the error that a runner met."""
    if isinstance(answer, ValueError):
        raise answer
    return answer


def learning_of(learner: Any) -> tuple[Any, torch.optim.Optimizer]:
    """The policy of RLlib's learner, and its optimizer."""
    ((_, optimizer),) = learner.get_optimizers_for_module(DEFAULT_MODULE_ID)
    return learner.module[DEFAULT_MODULE_ID].unwrapped().policy, optimizer


def set_rate(learner: Any, rate: float) -> None:
    """The learning rate of an update, which RLlib's own schedules would count in steps alone."""
    for _, optimizer in learner.get_optimizers_for_module(DEFAULT_MODULE_ID):
        for group in optimizer.param_groups:
            group["lr"] = rate


def seed_everything(seed: int) -> None:
    """Seed the generators that RLlib shuffles with."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def algorithm(meta: dict[str, Any], settings: TrainSettings, seed: int, runners: int) -> FragmentPPO:
    """RLlib's PPO with the settings of a run."""
    spec = loading.load(meta["scenario"])
    with contextlib.closing(NetworkVectorEnv(1, meta["task"], spec, **meta["env_kwargs"])) as env:
        seen, acted = env.single_observation_space, env.single_action_space
    masked = meta["task"] != "routing"
    model = {"kind": meta["policy"], "masked": masked, "kwargs": meta["policy_kwargs"], "seed": mixed(seed, 3)}
    model["observation_space"] = seen
    packed = packed_space(seen, acted, masked)
    setup = (
        PPOConfig(algo_class=FragmentPPO)
        .environment(
            observation_space=packed,
            action_space=acted,
            env_config={
                "meta": meta,
                "settings": settings.model_dump(mode="json"),
                "seed": seed,
                "several": spec.episode.operations_per_step > 1,
            },
        )
        .env_runners(
            env_runner_cls=FragmentRunner,
            num_env_runners=runners,
            num_envs_per_env_runner=1,
            create_local_env_runner=runners == 0,
            rollout_fragment_length="auto",
        )
        .fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1.0)
        .rl_module(rl_module_spec=RLModuleSpec(PolicyModule, packed, acted, model_config=model))
        .learners(num_learners=0)
        .training(
            learner_class=PolicyLearner,
            lr=settings.learning_rate,
            train_batch_size_per_learner=settings.n_envs * settings.n_steps,
            minibatch_size=settings.minibatch,
            num_epochs=settings.n_epochs,
            gamma=settings.gamma,
            lambda_=settings.gae_lambda,
            clip_param=settings.clip_range,
            entropy_coeff=settings.ent_coef,
            vf_loss_coeff=settings.vf_coef,
            vf_clip_param=math.inf,
            use_kl_loss=False,
            grad_clip=settings.max_grad_norm,
            grad_clip_by="global_norm",
        )
        .debugging(log_level="ERROR", seed=seed % 2**31)
    )
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    return setup.build_algo()
