"""The vector environment as Stable-Baselines3's VecEnv: names change, numbers do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.vector import AutoresetMode

from og_env import FLAT_IDS, IDS, errors, task_of

try:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(errors.missing_extra(error) or str(error), name=error.name) from None

from og_env.env import INFO_NAMES
from og_env.simulator import BY_SCENARIO, MOVING, CopiedWhole
from og_env.vector_env import NetworkVectorEnv

Infos = Literal["episode", "step"]
EPISODES = "episodes."
"""beginning of the names of what the batch itself has in a state"""


class SB3VecEnv(CopiedWhole, VecEnv):
    """A NetworkVectorEnv for Stable-Baselines3 and sb3-contrib.

    Where an episode ends, its info has `terminal_observation`, `TimeLimit.truncated`, `episode` (return r, length l,
    seconds t, as VecMonitor writes them) and the last step's metrics and terms. In all other steps infos are empty, for
    speed; `infos="step"` fills them in every step. `happened` has the metrics and terms of the last step as arrays [n], and
    `moved` says whether the clock moved, bool [n]: where a step has several operations, steps of episodes are those of the
    clock, and a learner discounts by them.
    """

    def __init__(self, env: NetworkVectorEnv, infos: Infos = "episode") -> None:
        if infos not in ("episode", "step"):
            raise ValueError(f"infos is {infos!r}; valid are episode, step")
        if hasattr(env, "reward_space"):
            raise ValueError("Stable-Baselines3 learns from a scalar reward: leave reward='vector' out")
        if env.autoreset_mode != AutoresetMode.SAME_STEP:
            mode = env.autoreset_mode.name
            raise ValueError(f"Stable-Baselines3 begins anew in the same step: leave autoreset_mode={mode} out")
        self.env, self.every_step = env, infos == "step"
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.happened: dict[str, np.ndarray] = {}
        self.moved: np.ndarray = np.ones(env.num_envs, np.bool_)
        self._actions: Any = None
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        self._began_s = time.monotonic()

    def reset(self) -> Any:
        """Begin an episode everywhere, with the seeds of `seed()` and the options of `set_options()` if given since."""
        if any(options != self._options[0] for options in self._options):
            raise ValueError("set_options: the environments of a batch take the same options, not one set for each")
        observation, infos = self.env.reset(seed=list(self._seeds), options=self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0
        self._lengths[:] = 0
        self.reset_infos = [_row(infos, i) for i in range(self.num_envs)]
        return observation

    def stagger(self, act: Callable[[], np.ndarray]) -> Any:
        """Play on by `act` until the episodes stand at evenly spaced steps, and return the observation.

        Episodes that begin together stay together, and a learner would meet the morning of all, then the noon of all.
        Every action moves the clock meanwhile.
        """
        self.env.simulator.clock = MOVING
        try:
            return self._stagger(act)
        finally:
            self.env.simulator.clock = BY_SCENARIO

    def _stagger(self, act: Callable[[], np.ndarray]) -> Any:
        steps = self.env.simulator.spec.episode.steps
        begins = np.arange(self.num_envs) * steps // self.num_envs
        observation: Any = None
        for step in range(1, steps + 1):
            observation, *_ = self.step(act())
            anew = (begins == step) & (step < steps)
            if anew.any():
                observation, _ = self.env.reset(options={"reset_mask": anew})
                self._returns[anew] = 0
                self._lengths[anew] = 0
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions of the next `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations, rewards float32 [n], dones bool [n] and infos of one step by the remembered actions."""
        observation, rewards, _, truncated, infos = self.env.step(self._actions)
        self._returns += rewards
        self.moved = infos["moved"]
        self._lengths += self.moved
        ended = bool(truncated.any())
        self.happened = _merged(infos, truncated) if ended else infos
        records: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if self.every_step:
            records = [_row(self.happened, i) for i in range(self.num_envs)]
        if ended:
            for i in np.flatnonzero(truncated):
                records[i] = self._end(int(i), infos["final_obs"], infos["final_info"].get("action_mask"))
        return observation, rewards.astype(np.float32), truncated, records

    def _end(self, i: int, final: Any, masks: Any) -> dict[str, Any]:
        """The info of an environment whose episode has just ended, with what was possible then; its sums begin anew."""
        record = _row(self.happened, i)
        record["terminal_observation"] = (
            {name: table[i] for name, table in final.items()} if isinstance(final, dict) else final[i]
        )
        record["TimeLimit.truncated"] = True
        seconds = round(time.monotonic() - self._began_s, 6)
        record["episode"] = {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": seconds}
        self._returns[i] = 0
        self._lengths[i] = 0
        return record

    def get_state(self) -> dict[str, Any]:
        """The batch as it stands, as its own `get_state` has it, with the sums of the episodes."""
        state = {EPISODES + name: value for name, value in self.env.get_state().items()}
        return state | {"returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def set_state(self, state: Mapping[str, Any]) -> Any:
        """Go on where `get_state` was called, and return the observations of that moment; ValueError for another batch."""
        inner = {n.removeprefix(EPISODES): value for n, value in state.items() if n.startswith(EPISODES)}
        observation, _ = self.env.set_state(inner)
        self._returns, self._lengths = state["returns"].copy(), state["lengths"].copy()
        return observation

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """`action_masks`, which MaskablePPO asks for; a batch has no other method for a single environment."""
        if method_name != "action_masks":
            raise AttributeError(f"the batch has no method {method_name!r} for a single environment")
        masks = self.env.action_masks()
        return [masks[i] for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The batch's attribute, once for each environment."""
        if attr_name == "action_masks" and not self.env.simulator.mask.shape[1]:
            raise AttributeError("routing has no mask: every level is always possible")
        value = getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the batch; ValueError for some of its environments only."""
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"{attr_name} is shared by the environments of a batch: set it for all of them")
        setattr(self.env, attr_name, value)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """True for SB3's Monitor, whose `episode` record the infos hold."""
        wrapped = isinstance(wrapper_class, type) and issubclass(wrapper_class, Monitor)
        return [wrapped for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A map of each environment as uint8 [H, W, 3] with `render_mode="rgb_array"`, and None otherwise."""
        frames = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if frames is None else list(frames)

    def close(self) -> None:
        """Stop the environment's threads."""
        self.env.close()


def _row(infos: dict[str, Any], i: int) -> dict[str, Any]:
    """Metrics and terms of one environment, whether its clock moved, and its mask where there is one."""
    record: dict[str, Any] = {name: float(infos[name][i]) for name in INFO_NAMES}
    record["moved"] = bool(infos["moved"][i])
    if "action_mask" in infos:
        record["action_mask"] = infos["action_mask"][i]
    return record


def _merged(infos: dict[str, Any], truncated: np.ndarray) -> dict[str, Any]:
    """Infos of the step that was taken: the final ones of ended episodes, the ordinary ones of the others.

    The mask is the one that holds now.
    """
    final = infos["final_info"]
    merged: dict[str, Any] = {name: np.where(truncated, final[name], infos[name]) for name in INFO_NAMES}
    merged["moved"] = infos["moved"]
    if "action_mask" in infos:
        merged["action_mask"] = infos["action_mask"]
    return merged


def make_sb3(
    env: str, n_envs: int = 1, *, scenario: Any = "global-24", infos: Infos = "episode", **kwargs: Any
) -> SB3VecEnv:
    """The batch of an environment id or a task: `make_sb3("og_env/Placement-v1", 64, scenario="global-24", flatten=True)`.

    Other arguments are those of the environment. ValueError for an unknown id.
    """
    task: Any = env if env in IDS else task_of(env)
    if env in FLAT_IDS.values():
        kwargs.setdefault("flatten", True)
    return SB3VecEnv(NetworkVectorEnv(n_envs, task, scenario, **kwargs), infos)
