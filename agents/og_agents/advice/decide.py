"""The decision of a policy for a live fleet, with its reasons.

The state is the JSON of `og_env.simulator.live_state`, whose documentation names every field. A policy is loaded
once and decides often:

    adviser = Adviser(checkpoint.load("runs/ppo"), "global-24", "placement")
    decision = adviser.decide(og_env.simulator.live_state.LiveState.read(Path("fleet.json")))
    print(decision.text())
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from og_agents import heuristics
from og_agents.evaluation import playing
from og_agents.policy import Policy, attach
from og_env.simulator import (
    AUTOSCALED,
    GAIN,
    KNOBS,
    OPERATIONS,
    TERMS,
    Copies,
    describe_operation,
    idle,
    outlook,
    split_actions,
)
from og_env.simulator.live_state import LiveState, describe, place

AHEAD = 24
"""steps over which a decision is compared with doing nothing"""
OTHERS = 3
"""number of offers that are named beside the one that is taken"""
EXAMPLE_STEPS = 36
"""steps into an episode after which an example of a state is taken: three hours"""


LEAST_GAIN = 1e-6
"""reward a step below which the look-ahead says that nothing is better: the rounding of its figures"""
NOTHING, USUAL_ROUTER = "do nothing", "leave the router as the scenario has it"


class Decision(NamedTuple):
    """A decision and its reasons.

    Gains are reward a step, of which serving nothing costs `nothing_served`; above 0 is better. Where the look-ahead says that
    nothing is better than doing nothing, that is the advice, and what the policy wanted is `proposed`.
    """

    operation: str
    """the operation that is advised, in words"""
    knobs: dict[str, float]
    """values of the router's knobs by name; empty where the policy does not set them"""
    planned: dict[str, float]
    """the planner's estimate for the offer that is taken: gain, its parts service, cost and resilience, and the seconds
    until it is useful; empty where nothing is done or there are no offers"""
    by_term: dict[str, float]
    """weighted gain of each reward term over doing nothing (autoscaled: over the scenario's knobs), as the mean of the
    next `ahead_h` hours of the forecast"""
    ahead_h: float
    """hours over which `by_term` compares"""
    others: tuple[tuple[str, float], ...]
    """the best other offers and their planned gains"""
    autoscaled: bool = False
    """whether the operation is the built-in autoscaler's, and only what the router is told is the policy's"""
    steer: dict[str, float] = {}
    """logarithm of what the policy lets the router multiply the weight of a site by, where that is not 0"""
    proposed: str = ""
    """what the policy wanted; the same as `operation`, unless the look-ahead has spoken against it"""
    usd_per_hour: float | None = None
    """the gain of the look-ahead as dollars an hour, by the scenario's own weights; None where money has no weight"""
    step_min: float = 5.0
    """minutes of a step"""
    nothing_served: float = 1.0
    """reward a step that serving nothing costs"""

    withheld: bool = False
    """whether the look-ahead has spoken against what the policy wanted"""

    def numbers(self) -> list[float]:
        """All numbers of the decision."""
        tables = (self.knobs, self.planned, self.by_term, self.steer)
        return [value for table in tables for value in table.values()] + [gain for _, gain in self.others]

    def text(self) -> str:
        """The decision in a few lines."""
        lines = [self.operation]
        if self.withheld:
            lines = [f"{USUAL_ROUTER if self.autoscaled else NOTHING}: {self._against()}"]
        elif self.autoscaled:
            lines = [f"the autoscaler will {self.operation}"]
        if self.knobs:
            lines.append("  router: " + ", ".join(f"{name} {value:.4g}" for name, value in self.knobs.items()))
        if self.steer:
            lines.append(
                "  steered: " + ", ".join(f"{site} x{math.exp(value):.3g}" for site, value in self.steer.items())
            )
        if self.planned:
            parts = ", ".join(f"{name} {self.planned[name]:+.4f}" for name in ("service", "cost", "resilience"))
            useful = f"; useful in {self.planned['ready_s'] / 60:.0f} min" if self.planned["ready_s"] > 0 else ""
            lines.append(f"  planned gain {self.planned['gain']:+.4f} reward a step: {parts}{useful}")
        terms = ", ".join(f"{name} {value:+.4f}" for name, value in self.by_term.items() if abs(value) > 5e-5)
        other = "the scenario's router" if self.autoscaled else "doing nothing"
        worth = "" if self.usd_per_hour is None else f" (worth {self.usd_per_hour:+,.2f} dollars an hour)"
        lines.append(
            f"  next {self.ahead_h:g} h against {other} {self.gain:+.4f} reward a step{worth}: {terms or 'no difference'}"
        )
        if self.others:
            lines.append("  instead of: " + "; ".join(f"{words} ({gain:+.4f})" for words, gain in self.others))
        lines.append(f"  a step is {self.step_min:g} min; serving nothing costs {self.nothing_served:g} reward a step")
        return "\n".join(lines)

    @property
    def gain(self) -> float:
        """Gain of what the policy wanted over doing nothing, by the look-ahead: reward a step."""
        return sum(self.by_term.values())

    def _against(self) -> str:
        what = "what the policy asks of the router" if self.autoscaled else self.proposed
        return f"the look-ahead does not find {what} any better"


class Adviser:
    """A policy beside a live fleet of one scenario; its memory goes on from one decision to the next."""

    def __init__(self, policy: Policy, scenario: Any, task: str = "placement", *, trusting: bool = False) -> None:
        """`trusting` passes on what the policy wants, even where the look-ahead finds nothing better than doing nothing."""
        self.policy, self.trusting = policy, trusting
        self.env = playing.stage(policy, scenario, task, 1)
        self.env.reset(seed=0)
        attach(policy, self.env)
        self.simulator = self.env.simulator
        self.copies = Copies(self.simulator, 1, 2, AHEAD)
        resolved = self.simulator.world_of(0).resolved
        self._start, self._memory = np.ones(1, np.bool_), None
        self._sites = [site.name for site in resolved.sites]
        self._models = [model.name for model in resolved.models]

    def decide(self, state: LiveState | dict[str, Any], where: str = "state") -> Decision:
        """The policy's decision; ValueError in one line for a state that the scenario does not know."""
        simulator = self.simulator
        simulator.renew()
        place(simulator, LiveState.parse(state, where), 0, where)
        seen: Any = simulator.observation
        observation = seen if simulator.settings.flatten else simulator.tables(seen)
        masks = self.env.action_masks() if simulator.mask.shape[1] else None
        start, self._start = self._start, np.zeros(1, np.bool_)
        action, self._memory = self.policy.predict(
            observation, self._memory, start, deterministic=True, action_masks=masks
        )
        space = self.env.single_action_space
        parts = split_actions(np.asarray(action), simulator, space, np.zeros(1, np.int64))
        decision = self._explain(int(parts.chosen[0]), parts.levels, parts.site_levels)
        if not all(map(math.isfinite, decision.numbers())):
            raise ValueError(f"{where}: its numbers are so far apart that no gain can be worked out")
        return decision

    def _explain(self, chosen: int, levels: np.ndarray | None, site_levels: np.ndarray | None) -> Decision:
        simulator, copies = self.simulator, self.copies
        output = simulator.output
        offers, gains, ready_s = output.offer[0], output.offer_gain[0], output.offer_ready_s[0]
        copies.load(np.zeros(1, np.int64))
        follow = idle
        if simulator.mode == OPERATIONS:
            operation, first = chosen, copies.try_operations(np.array([chosen, 0]))
            taken = -1
        else:
            if simulator.mode == AUTOSCALED:
                follow = copies.greedy
                chosen = int(copies.greedy(copies.output.offer, copies.output.offer_gain)[0])
            taken, first = chosen - 1, np.array([chosen, chosen if follow is not idle else 0])
            operation = int(offers[taken]) if taken >= 0 else 0
        both = (None if each is None else np.concatenate([each, np.zeros_like(each)]) for each in (levels, site_levels))
        ahead = outlook(copies, first, follow, *both)
        steps = min(AHEAD, int(simulator.tape.attack.shape[1] - 1 - simulator.state.step[0]))
        terms = ahead.terms[:, : max(steps, 1)].mean(axis=1)
        weighted = (terms[1] - terms[0]) * self.env.reward_weights
        ranked = [i for i in np.argsort(-gains[:, GAIN.total], kind="stable") if offers[i] != 0 and i != taken]
        planned: dict[str, float] = {}
        if taken >= 0:
            names = ("gain", "service", "cost", "resilience", "ready_s")
            planned.update(zip(names, [*gains[taken].tolist(), float(ready_s[taken])], strict=True))
        wanted, gain = self.words(operation), float(weighted.sum())
        asks = operation != 0 and simulator.mode != AUTOSCALED
        asks = asks or any(each is not None and each.any() for each in (levels, site_levels))
        withheld = asks and gain <= LEAST_GAIN and not self.trusting
        price = float(self.env.reward_weights[TERMS.index("cost")])
        budget = float(simulator.world.budget_usd_per_hour[0])
        knobs = simulator.world.knobs[0] if withheld else copies.state.knobs[0]
        return Decision(
            operation=NOTHING if withheld and simulator.mode != AUTOSCALED else wanted,
            proposed=wanted,
            withheld=withheld,
            usd_per_hour=gain * budget / price if price > 0 else None,
            step_min=simulator.spec.episode.step_s / 60,
            nothing_served=float(self.env.reward_weights[TERMS.index("unserved")]),
            knobs={} if levels is None else dict(zip(KNOBS, knobs.tolist(), strict=True)),
            planned=planned,
            by_term=dict(zip(TERMS, weighted.tolist(), strict=True)),
            ahead_h=max(steps, 1) * simulator.spec.episode.step_s / 3600,
            others=tuple((self.words(int(offers[i])), float(gains[i, GAIN.total])) for i in ranked[:OTHERS]),
            autoscaled=simulator.mode == AUTOSCALED,
            steer={} if site_levels is None or withheld else self._steered(copies.state.steer[0]),
        )

    def _steered(self, steer: np.ndarray) -> dict[str, float]:
        return {site: float(value) for site, value in zip(self._sites, steer, strict=False) if value != 0}

    def words(self, operation: int) -> str:
        """An operation in words."""
        return describe_operation(operation, self._sites, self._models)

    def close(self) -> None:
        """Close the environment that decisions are compared in."""
        self.env.close()


def example(scenario: Any, seed: int = 0, steps: int = EXAMPLE_STEPS) -> dict[str, Any]:
    """A live state as an example: `steps` steps into a validation episode that the greedy planner plays."""
    policy = heuristics.make("greedy")
    env = playing.stage(policy, scenario, "placement", 1, split="validation")
    observation, info = env.reset(seed=seed)
    while env.simulator.state.step[0] < min(steps, env.simulator.spec.episode.steps - 1):
        action, _ = policy.predict(observation, action_masks=info["action_mask"].astype(np.bool_))
        observation, *_, info = env.step(action)
    result = describe(env.simulator)
    env.close()
    return result
