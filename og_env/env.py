"""The single environment: a batch of one on the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from og_env.dynamics import operations
from og_env.kernel.arrays import METRICS, TERMS
from og_env.kernel.memory import CopiedWhole
from og_env.observation.buffers import Buffer
from og_env.simulator import saved_state
from og_env.simulator.candidate_outlooks import Follow, Outlook, simulate
from og_env.simulator.env_spec import plain_spec
from og_env.simulator.hidden_truth import truth_of
from og_env.simulator.reset_options import checked_seed, incident_facts, scripted_of
from og_env.simulator.settings import Arguments, Task, settings_of, whole_number
from og_env.simulator.simulator import Simulator
from og_env.simulator.spaces import (
    action_space,
    full_mask,
    levels_of,
    limits_of,
    observation_space,
    reward_space,
    split_actions,
)

INFO_NAMES = (*METRICS, *(f"term_{name}" for name in TERMS))
"""metrics and unweighted reward terms, which every info has"""
INTEGERS = (int, np.integer)
MOST_HORIZON = 100_000
"""longest outlook, in steps"""


class NetworkEnv(CopiedWhole, gym.Env[Any, Any]):
    """A decentralised AI-inference network, one placement operation or routing decision a call.

    ## Description
    A network of node sites serves several models to user regions around the world. Sites share providers, regions,
    power grids, carriers, TEE vendors and software images, and fail together when one of these breaks. A model answers
    only where it is warm; warming it takes minutes to tens of minutes and slows the others down at the weights' stores.

    ## Action Space
    Placement: `Discrete(1 + P)` among the planner's offers (0 does nothing), or `Discrete(V)` over all operations with
    `interface="operations"`. Routing: `Box(-1, 1, (5,))`, the router's knobs, or `MultiDiscrete([5] * 5)` with
    `knobs="levels"`; with `interface="sites"` `Box(-1, 1, (N,))`, which steers to (1) and away from (-1) each site, while
    the knobs stay the scenario's. Joint: `MultiDiscrete([1 + P, 5, 5, 5, 5, 5])`; with `steering="sites"` levels of the N
    sites, and with "domains" of the shared providers, take the place of the knobs'. Possible actions: `action_masks()`
    and `info["action_mask"]`; an impossible one is a counted no-op.

    ## Observation Space
    `Dict` of float32 tables in [-1, 1]: globals, models, proposals, sites, regions, domains (`og_env.fields`),
    or one `Box` with `flatten=True`.

    ## Rewards
    Minus the weighted sum of latency, cost, unserved, unverified, exposure and churn; in every term 1 is as bad as
    serving nothing. Terms and raw metrics are in `info`. With `reward="vector"` minus every term, float32 [6] in the
    order of `og_env.simulator.TERMS`: `reward_space` declares it, and `reward_weights` times it is the scalar reward.

    ## Steps
    A call is a step of the network's clock, unless the scenario has `episode.operations_per_step` K above 1. Then an
    operation leaves the clock standing, with reward 0, until the K-th one or doing nothing moves it; the churn of a step
    is its number of operations. `info["moved"]` says whether the clock moved. Routing moves it in every call.

    ## Starting State
    The scenario's starting fleet, at an hour of the day that the episode draws.

    ## Episode End
    Truncated after the scenario's number of steps of the clock; never terminated.

    ## Arguments
    `scenario`: name, path, tables or ScenarioSpec. `render_mode`: None, "rgb_array" or "ansi". The others are the fields
    of `og_env.simulator.Settings`, which has their defaults: `interface`, `flatten`, `proposals` (P), `knobs`, `steering`,
    `levels` (5), `split` ("train", "validation", "test" or "sealed"), `risk_weight` and `reward`.

    ## Version History
    v1: time to first token with its round trips, objectives that are met or missed, a price of use, refusals with bounded
    tries, hidden condition of sites, answers in flight.
    v0: first version; gone.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 12}

    def __init__(
        self,
        task: Task = "placement",
        scenario: Any = "global-24",
        *,
        render_mode: str | None = None,
        **arguments: Unpack[Arguments],
    ) -> None:
        """Make the environment; ValueError in one line for a wrong argument, TypeError for an unknown one."""
        check_render_mode(render_mode)
        settings = settings_of("NetworkEnv", task, arguments)
        self.simulator = Simulator(scenario, 1, settings, single=True)
        self.task, self.render_mode = task, render_mode
        self.observation_space = observation_space(self.simulator)
        self.action_space = action_space(self.simulator)
        self.reward_weights = self.simulator.compiled[0].arrays.weights[0].copy()
        self._vector = settings.reward == "vector"
        if self._vector:
            self.reward_space = reward_space(self.simulator)
            self.reward_dim = self.reward_space.shape[0]
        self._rows = np.zeros(1, np.int64)
        self._chosen = np.zeros(1, np.int64)
        self._levels = levels_of(self.action_space)
        self._choices = int(limits_of(self.action_space)) if isinstance(self.action_space, gym.spaces.Discrete) else 0
        output = self.simulator.output
        self._metrics, self._terms = output.metrics, output.terms  # whole arrays, no views: so copies have their own
        self._reward, self._truncated = output.reward, output.truncated
        self._decisions = self.simulator.state.decisions
        self._flatten, self._hides = settings.flatten, bool(self.simulator.spec.failures.hidden)
        self._started = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; `info["incident"]` says what a replayed incident hits.

        options: {"incident": ID, "outages": [{"domain", "start_h", "duration_h", "effect"}, ...], "background": bool,
        "start_hour_utc": float}, see `og_env.simulator.reset_options.scripted_of`. ValueError for what is wrong in them.
        """
        super().reset(seed=checked_seed(seed))
        scripted = scripted_of(options, self.simulator)
        self.simulator.load_episode(0, self.simulator.tape_seed(self.np_random), scripted)
        facts = incident_facts(scripted, self.simulator, self._rows)
        buffer = self.simulator.renew()
        self.simulator.start(self._rows)
        self._started = True
        return self._observation(buffer), self._info(buffer) | ({"incident": facts[0]} if facts else {})

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Observation, reward, False, truncated and info of one step, or of one decision of a step that has several.

        Raises ValueError for an action outside the space, and before reset.
        """
        if not self._started:
            raise ValueError("step before reset: call reset() first, and again after an episode has ended")
        simulator, levels, site_levels = self.simulator, None, None
        if isinstance(action, INTEGERS) and 0 <= action < self._choices:
            chosen = self._chosen
            chosen[0] = action
        else:
            parts = split_actions(np.asarray(action)[None], simulator, self.action_space, self._rows)
            chosen, levels, site_levels = parts
        buffer = simulator.renew()
        simulator.advance(chosen, levels, site_levels)
        truncated = self._truncated.item(0) == 1
        self._started = not truncated
        reward = -self._terms[0] if self._vector else self._reward.item(0)
        return self._observation(buffer), reward, False, truncated, self._info(buffer)

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep the specification of `gymnasium.make` with a scenario that JSON can hold."""
        super().__setattr__(name, plain_spec(value) if name == "spec" else value)

    def _observation(self, buffer: Buffer) -> Any:
        return buffer.flat if self._flatten else dict(buffer.tables)

    def _info(self, buffer: Buffer) -> dict[str, Any]:
        info: dict[str, Any] = dict(zip(INFO_NAMES, self._metrics.tolist()[0] + self._terms.tolist()[0], strict=True))
        if len(buffer.possible):
            info["action_mask"] = full_mask(buffer.possible, self._levels)
        info["moved"] = self._decisions.item(0) == 0
        if self._hides:
            info["truth"] = truth_of(self.simulator, 0)
        return info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Flags bool [1 + P] or [V] of the actions that are possible now; for Joint, [1 + P + 25] with the knobs' levels.

        With another `steering` the levels are those of sites or providers. Raises ValueError for Routing.
        """
        if not self.simulator.mask.shape[1]:
            raise ValueError("routing has no mask: every level is always possible")
        return full_mask(self.simulator.mask[0].astype(bool), self._levels)

    def simulate(self, actions: Any, horizon: int = 12, follow: Follow = "nothing") -> Outlook:
        """The outlook of each of a batch of actions [A, ...] over the next `horizon` steps, under the nominal forecast.

        After the action nothing is done, or the best offer is taken in every step (`follow` "greedy"). The episode is
        not touched. ValueError for an action outside the space, a horizon below 1, another `follow`, or before reset.
        """
        if not self._started:
            raise ValueError("simulate before reset: call reset() first")
        horizon = whole_number("horizon", horizon, 1, MOST_HORIZON)
        batch = np.asarray(actions)
        if batch.ndim == 0:
            raise ValueError(f"actions is {actions!r}; valid is a batch of actions [A, ...]")
        parts = split_actions(batch, self.simulator, self.action_space, np.zeros(len(batch), np.int64))
        return simulate(self.simulator, 0, *parts, horizon, follow)

    def get_state(self) -> dict[str, Any]:
        """The episode as it stands and the generator of the next ones: arrays, numbers and texts, see `saved_state`.

        `numpy.savez(file, **state)` holds it, and so does JSON with arrays as lists. The spaces' generators are not in it.
        """
        generators = [] if self._np_random is None else [self._np_random]
        return saved_state.save(self.simulator, generators, started=self._started)

    def set_state(self, state: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Go on where `get_state` was called, here or in another process: observation and info of that moment.

        ValueError in one line for a state of another scenario, setting or version, and for one that was altered.
        """
        restored = saved_state.restore(self.simulator, state)
        if restored.generators:
            self.np_random = restored.generators[0]
        self._started = restored.started
        buffer = self.simulator.buffers.current
        return self._observation(buffer), self._info(buffer)

    def describe(self, operation: int) -> str:
        """The words of an operation; the operations of the offers now are `simulator.output.offer[0]`, int32 [P]."""
        resolved = self.simulator.world_of(0).resolved
        return operations.describe(
            operation, [site.name for site in resolved.sites], [model.name for model in resolved.models]
        )

    def render(self) -> Any:
        """A map as uint8 [H, W, 3] or a table as text, by render_mode; None without one."""
        return None if self.render_mode is None else picture(self.simulator, self.render_mode, 0)

    def close(self) -> None:
        """Release what the environment holds."""
        self.simulator.close()


def check_render_mode(mode: Any) -> None:
    """ValueError in one line for a mode of rendering that there is not."""
    valid = NetworkEnv.metadata["render_modes"]
    if mode is not None and str(mode) not in valid:
        raise ValueError(f"render_mode is {mode!r}; valid are {', '.join(valid)}")


def picture(simulator: Simulator, mode: str, b: int) -> Any:
    """Environment b now: a map as uint8 [H, W, 3], or with the mode "ansi" a table as text."""
    from og_env import render

    sim = simulator
    view = render.view_of(sim.world_of(b).resolved, sim.world, sim.tape, sim.state, sim.output, row=b)
    return render.table(view) if mode == "ansi" else render.frame(view)
