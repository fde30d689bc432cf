"""The vector environment: n episodes on one simulator, one call a step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Unpack, cast

import numpy as np
import numpy.typing as npt
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from og_env.env import INFO_NAMES, NetworkEnv, check_render_mode, picture
from og_env.kernel.arrays import METRICS
from og_env.kernel.memory import CopiedWhole
from og_env.simulator import saved_state
from og_env.simulator.compiled_step import BEGIN
from og_env.simulator.env_spec import plain_spec
from og_env.simulator.hidden_truth import truth_of
from og_env.simulator.reset_options import checked_options, checked_seed, incident_facts, scripted_of
from og_env.simulator.room import MOST_ENVS
from og_env.simulator.settings import Arguments, Task, settings_of, whole_number
from og_env.simulator.simulator import Simulator
from og_env.simulator.spaces import action_space, full_mask, levels_of, observation_space, reward_space, split_actions
from og_env.tape.draw import NOTHING, Scripted

MOST_THREADS = 1024
"""most threads that an environment may have"""
Seeds = int | list[int | None] | None


class NetworkVectorEnv(CopiedWhole, VectorEnv[Any, Any, Any]):
    """n environments with the arguments of `NetworkEnv`; the same numbers as n single ones, bit for bit.

    `autoreset_mode` says when an environment whose episode has ended begins the next one, as in Gymnasium, by the mode
    or its name. SAME_STEP: in the same step, and `final_obs` and `final_info` hold what the ended one would have
    returned. NEXT_STEP: in the next one, which ignores its action and has reward 0. DISABLED: when `reset` says so, with
    `reset_mask`. `threads`: None takes up to two. `render_mode`: None, "rgb_array" or "ansi". With `reward="vector"`
    rewards are float32 [n, 6], and `reward_space` is that of one environment.
    """

    metadata = NetworkEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        task: Task = "placement",
        scenario: Any = "global-24",
        *,
        threads: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **arguments: Unpack[Arguments],
    ) -> None:
        """Make n environments; ValueError in one line for a wrong argument, TypeError for an unknown one."""
        num_envs = whole_number("num_envs", num_envs, 1, MOST_ENVS)
        check_render_mode(render_mode)
        self.autoreset_mode = checked_autoreset(autoreset_mode)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode}
        threads = min(2, os.cpu_count() or 1) if threads is None else threads
        threads = whole_number("threads", threads, 1, MOST_THREADS)
        settings = settings_of("NetworkVectorEnv", task, arguments)
        self.simulator = Simulator(scenario, num_envs, settings, min(threads, num_envs))
        self.task, self.num_envs, self.render_mode = task, num_envs, render_mode
        self.single_observation_space = observation_space(self.simulator)
        self.single_action_space = action_space(self.simulator)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.reward_weights = self.simulator.compiled[0].arrays.weights[0].copy()
        self._vector = settings.reward == "vector"
        if self._vector:
            self.reward_space = reward_space(self.simulator)
        self._generators: list[np.random.Generator] = []
        self._levels = levels_of(self.single_action_space)
        self._rows = np.arange(num_envs)
        self._all = np.ones(num_envs, np.bool_)
        self._nobody = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode everywhere, or where `options["reset_mask"]` (bool [n]) says.

        Environment i of an integer seed gets seed + i. The other options are those of `NetworkEnv.reset`, for all
        environments that begin; they hold for these episodes, not for those that follow by themselves. ValueError for
        wrong options, another number of seeds, and a partial mask before the first reset.
        """
        options = checked_options(options)
        chosen = np.asarray(options.pop("reset_mask", self._all), np.bool_)
        if chosen.shape != (self.num_envs,) or not chosen.any():
            raise ValueError(f"reset_mask is {chosen.shape}, not ({self.num_envs},) with at least one environment")
        seeds = self._seeds(seed)
        if not self._generators:
            self._generators = [np.random.default_rng() for _ in range(self.num_envs)]
            if not chosen.all():
                raise ValueError("reset_mask before the first reset: every environment needs one")
        for i in np.flatnonzero(chosen):
            if seeds[i] is not None:
                self._generators[i], _ = np_random(seeds[i])
        rows = np.flatnonzero(chosen)
        self.simulator.renew(keep=True)
        facts = self._begin(rows, scripted_of(options, self.simulator))
        infos = self._infos(self._all)
        if facts:
            infos |= {"incident": self._objects(rows, facts), "_incident": chosen}
        return self._observations(), infos

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep the specification of `gymnasium.make_vec` with a scenario that JSON can hold."""
        super().__setattr__(name, plain_spec(value) if name == "spec" else value)

    def _seeds(self, seed: Seeds) -> list[int | None]:
        if isinstance(seed, int | np.integer):
            first = checked_seed(seed)
            return [(first or 0) + i for i in range(self.num_envs)]
        if seed is not None and not isinstance(seed, list | tuple | np.ndarray):
            raise ValueError(
                f"seed is {seed!r}; valid are None, a whole number, and a list with one for each environment"
            )
        seeds: list[int | None] = [None] * self.num_envs if seed is None else [checked_seed(one) for one in seed]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
        return seeds

    def _begin(self, rows: npt.NDArray[np.int64], scripted: Scripted = NOTHING) -> list[dict[str, Any]]:
        seeds = [self.simulator.tape_seed(self._generators[i]) for i in rows]
        self.simulator.load_episodes(rows, seeds, scripted)
        facts = incident_facts(scripted, self.simulator, rows)
        self.simulator.start(rows)
        return facts

    def _objects(self, rows: npt.NDArray[Any], values: list[Any]) -> npt.NDArray[np.object_]:
        """Values of rows, given by their numbers or flags, as an object array [n] with None elsewhere."""
        result = np.full(self.num_envs, None, object)
        result[rows] = values
        return result

    def step(
        self, actions: Any
    ) -> tuple[Any, npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]]:
        """Observations, rewards [n] (or [n, 6]), terminated and truncated bool [n] and infos of one step everywhere.

        Raises ValueError for an action outside the space, before reset, and with DISABLED where an episode has ended.
        """
        if not self._generators:
            raise ValueError("step before reset: call reset() first")
        parts = split_actions(actions, self.simulator, self.single_action_space, self._rows)
        output = self.simulator.output
        if self.autoreset_mode != AutoresetMode.SAME_STEP and output.truncated.any():
            self._begin_ended(np.flatnonzero(output.truncated), parts.chosen)
        self.simulator.renew()
        self.simulator.advance(*parts)
        rewards = -output.terms if self._vector else output.reward.astype(np.float64)
        truncated = output.truncated.astype(np.bool_)
        if self.autoreset_mode != AutoresetMode.SAME_STEP or not truncated.any():
            return self._observations(), rewards, self._nobody.copy(), truncated, self._infos(self._all)
        final_obs, final_info = self._observations(), self._infos(truncated)
        self.simulator.renew(keep=True)
        self._begin(np.flatnonzero(truncated))
        infos = self._infos(self._all)
        infos |= {"final_obs": final_obs, "_final_obs": truncated, "final_info": final_info, "_final_info": truncated}
        return self._observations(), rewards, self._nobody.copy(), truncated, infos

    def _begin_ended(self, rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]) -> None:
        """Draw the next episodes of rows that have ended, and write BEGIN in place of their actions."""
        if self.autoreset_mode == AutoresetMode.DISABLED:
            raise ValueError(
                f"step after the end of an episode in environment {rows[0]}: with autoreset_mode DISABLED call "
                'reset(options={"reset_mask": truncated}) first'
            )
        self.simulator.load_episodes(rows, [self.simulator.tape_seed(self._generators[i]) for i in rows])
        chosen[rows] = BEGIN

    def render(self) -> tuple[Any, ...] | None:
        """A map as uint8 [H, W, 3] or a table as text of each environment, by render_mode; None without one."""
        if self.render_mode is None:
            return None
        return tuple(picture(self.simulator, self.render_mode, b) for b in range(self.num_envs))

    def _observations(self) -> Any:
        """Of the step: the simulator's own arrays, or copies in the modes whose wrappers write into what they are given."""
        buffer, copies = self.simulator.buffers.current, self.autoreset_mode != AutoresetMode.SAME_STEP
        if self.simulator.settings.flatten:
            return buffer.flat.copy() if copies else buffer.flat
        return {name: table.copy() if copies else table for name, table in buffer.tables.items()}

    def _infos(self, rows: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Every metric and term, and whether the clock moved, as arrays [n], each with flags [n] of where it holds."""
        output = self.simulator.output
        infos: dict[str, Any] = {}
        for names, table in ((INFO_NAMES[: len(METRICS)], output.metrics), (INFO_NAMES[len(METRICS) :], output.terms)):
            columns = table.T.copy()
            for name, column in zip(names, columns, strict=True):
                infos[name] = column
                infos["_" + name] = rows
        infos["moved"], infos["_moved"] = self.simulator.moved, rows
        if self.simulator.mask.shape[1]:
            infos["action_mask"] = full_mask(self.simulator.mask, self._levels)
            infos["_action_mask"] = rows
        if self.simulator.spec.failures.hidden:
            infos["truth"] = self._objects(self._all, [truth_of(self.simulator, b) for b in range(self.num_envs)])
            infos["_truth"] = rows
        return infos

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Flags bool [n, 1 + P] or [n, V] of the actions that are possible now; for Joint, with all levels.

        Raises ValueError for Routing.
        """
        if not self.simulator.mask.shape[1]:
            raise ValueError("routing has no mask: every level is always possible")
        return full_mask(self.simulator.mask.astype(bool), self._levels)

    def get_state(self) -> dict[str, Any]:
        """The episodes as they stand and the generators of the next ones, as `NetworkEnv.get_state` has them."""
        return saved_state.save(self.simulator, self._generators, started=bool(self._generators))

    def set_state(self, state: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Go on where `get_state` was called: observations and infos of that moment; see `NetworkEnv.set_state`.

        With SAME_STEP, episodes that ended and did not begin anew, of a batch with another mode, begin in this call.
        """
        self._generators = saved_state.restore(self.simulator, state).generators
        ended = np.flatnonzero(self.simulator.output.truncated)
        if self.autoreset_mode == AutoresetMode.SAME_STEP and len(ended):
            self._begin(ended)
        return self._observations(), self._infos(self._all)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the simulator's threads."""
        if hasattr(self, "simulator"):  # Gymnasium 1.2 also closes what a wrong argument left half made
            self.simulator.close()


def checked_autoreset(mode: Any) -> AutoresetMode:
    """The mode that a value or its name says, such as "NEXT_STEP" or "NextStep"; ValueError in one line for another."""
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return cast(AutoresetMode, known)
    raise ValueError(f"autoreset_mode is {mode!r}; valid are {', '.join(known.name for known in AutoresetMode)}")
