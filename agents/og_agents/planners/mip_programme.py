"""The rolling mixed-integer programme: which replicas to hold in the next hours, and where demand is then served.

As SageServe (SIGMETRICS 2026, arXiv 2502.14617) it plans replicas by model and site for a forecast, and leaves requests
to the router. Beyond it, loads take their time, and a scenario for each of a few domains has the loss without it. Only
the replicas of the first period are integers, because the programme is solved again before the second one begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from og_agents.planners import highs
from og_agents.planners.highs import Programme, Rows
from og_agents.planners.mip_outlook import Outlook
from og_env.simulator import TERM

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_SITES = 8
"""sites at which a model may be launched that the programme looks at, beside those that hold it"""
MOST_DOMAINS = 5
"""domains with a scenario of their own: those whose loss costs most"""
CUTS = (0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""unserved shares of demand between which the convex price is taken for a line"""
WHOLE = 1e-6
"""distance from a whole number within which a value counts as it"""
LIMITS: Mapping[str, float | int] = {"mip_rel_gap": 0.03, "mip_max_nodes": 1, "random_seed": 0}
"""options of HiGHS; they count nodes and read no clock, so that a plan is the same on every machine"""


class Plan(NamedTuple):
    """Replicas that the programme wants."""

    now: npt.NDArray[np.bool_]
    """[M, N] in the first period"""
    served: float
    """share of the expected demand of the horizon that the plan serves"""


class Places(NamedTuple):
    """The pairs of a model and a site that the programme decides on."""

    model: Ints
    site: Ints


def places(facts: Outlook) -> Places:
    """All that is held, and for each model the sites that serve its demand most cheaply."""
    demand = facts.demand.mean(axis=0)
    share = demand / max(demand.sum(), 1e-9)
    wanted = np.zeros_like(facts.held)
    full = facts.room * facts.up[-1]
    for m in range(len(wanted)):
        part = share[:, m] / max(share[:, m].sum(), 1e-12)
        late = part @ facts.serving[:, m]
        exposed = facts.danger @ facts.inside
        cost = (late + facts.weights[TERM.unserved] * np.minimum(exposed, 1)) / max(demand.sum(), 1e-9)
        cost = cost + facts.answer[m] + facts.rent[m] / np.maximum(np.minimum(full[m], demand[:, m].sum()), 1e-9)
        order = np.argsort(np.where(facts.launches[m], cost, np.inf), kind="stable")
        wanted[m, order[:MOST_SITES]] = True
    wanted &= facts.launches
    model, site = np.nonzero(facts.held | wanted)
    return Places(model, site)


def formulate(facts: Outlook, at: Places, constants: Mapping[str, float]) -> Programme:
    """The programme over the places, P of them.

    Variables, in this order: replicas x [T, P] and launches l [T, P], the unserved share by CUTS u [T, C], requests/s
    in crowded replicas e [T, M], for each of K domains the lost requests/s z [T, K, M] and the lost share by CUTS v
    [T, K, C], the worst lost share w [T], and served requests/s y, [G, P] in the first period and [1, P] later.

    - `level` multiplies the demand, and `target` is the share of a replica's limit above which a request costs `crowd`.
    - `risk` multiplies the chance that a domain breaks, and `exposed` the price of the worst loss.
    - `move` is the price of a launch in reward.
    """
    layout = _Layout(facts, at)
    rows = Rows()
    _serve(rows, layout, constants["level"])
    _change(rows, layout)
    _crowd(rows, layout, constants["target"])
    _lose(rows, layout)
    return rows.programme(*_bounds(layout, constants))


class _Layout:
    """Numbers of the variables, and what several constraints share.

    Demand is divided over gateways in the first period alone; later ones have it as one.
    """

    def __init__(self, facts: Outlook, at: Places) -> None:
        self.facts, self.at = facts, at
        self.periods, groups, self.models = facts.demand.shape
        self.count = len(at.model)
        self.domains = _worst_domains(facts)
        share = facts.demand.sum(axis=0) / np.maximum(facts.demand.sum(axis=(0, 1)), 1e-12)
        later = np.einsum("gm,gmn->mn", share, facts.serving)[None]
        serving = [facts.serving, *[later] * (self.periods - 1)]
        self.serving = [of_groups[:, at.model, at.site] for of_groups in serving]
        self.demand = [facts.demand[0], *facts.demand[1:].sum(axis=1, keepdims=True)]
        t, p, c, k = self.periods, self.count, len(CUTS), len(self.domains)
        shapes = ((t, p), (t, p), (t, c), (t, self.models), (t, k, self.models), (t, k, c), (t,), (groups, p))
        shapes = (*shapes, *[(1, p)] * (t - 1))
        sizes = [int(np.prod(shape)) for shape in shapes]
        ends = np.cumsum(sizes)
        blocks = [
            np.arange(end - size, end).reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
        self.x, self.launch, self.unserved, self.crowded, self.lost, self.lost_share, self.worst, *self.y = blocks
        self.size = int(ends[-1])
        self.held = facts.held[at.model, at.site]
        self.room = facts.room[at.model, at.site] * facts.up[:, at.site]
        ready = facts.ready[:, at.model, at.site]
        self.ready = np.where(self.held, ready, 1.0)
        self.missed = np.where(self.held, 0.0, facts.missed[:, :, at.model, at.site])

    def enter_room(self, rows: Rows, row: Ints, factor: npt.ArrayLike, t: int) -> None:
        """Enter `factor` [P] times the requests/s that places can serve in period t, each in its row [P]."""
        room = self.room[t] * factor
        rows.enter(row, self.x[t], room * self.ready[t])
        for before in range(t + 1):
            rows.enter(row, self.launch[before], -room * self.missed[before, t])


def _worst_domains(facts: Outlook) -> Ints:
    """Up to MOST_DOMAINS domains of several sites, those first whose loss is likeliest times the held room in them."""
    held = (facts.held * facts.room).sum(axis=0)
    weight = facts.weights[TERM.unserved] * facts.danger + 0.1 * facts.weights[TERM.exposure]
    score = weight * (facts.inside @ (held + 0.1 * held.max(initial=1e-9)))
    score = np.where(((facts.inside > 0).sum(axis=1) > 1) & (facts.danger > 0), score, 0.0)
    order = np.argsort(-score, kind="stable")[:MOST_DOMAINS]
    return order[score[order] > 0]


def _serve(rows: Rows, layout: _Layout, level: float) -> None:
    """No more is served than is asked for and than replicas can; the rest is unserved."""
    for t in range(layout.periods):
        demand = level * layout.demand[t]
        asked = rows.block(demand.size, -np.inf, demand).reshape(demand.shape)
        rows.enter(asked[:, layout.at.model], layout.y[t], 1.0)
        full = rows.block(layout.count, 0.0, np.inf)
        rows.enter(full[None], layout.y[t], -1.0)
        layout.enter_room(rows, full, 1.0, t)
        whole = float(demand.sum())
        balance = rows.block(1, whole, whole)
        rows.enter(balance, layout.y[t].ravel(), 1.0)
        rows.enter(balance, layout.unserved[t], whole)


def _change(rows: Rows, layout: _Layout) -> None:
    """A replica that was not there has been launched; replicas fit into the GPUs, and into the operator's limits."""
    facts, at = layout.facts, layout.at
    sites = len(facts.gpus)
    held = layout.held.astype(np.float64)
    for t in range(layout.periods):
        new = rows.block(layout.count, -np.inf, held if t == 0 else 0.0)
        rows.enter(new, layout.x[t], 1.0)
        rows.enter(new, layout.launch[t], -1.0)
        if t > 0:
            rows.enter(new, layout.x[t - 1], -1.0)
        fits = rows.block(sites, -np.inf, np.maximum(facts.gpus, (facts.need * facts.held).sum(axis=0)))
        rows.enter(fits[at.site], layout.x[t], facts.need[at.model, at.site])
        few = rows.block(layout.models, -np.inf, np.maximum(facts.most, facts.held.sum(axis=1)))
        rows.enter(few[at.model], layout.x[t], 1.0)


def _crowd(rows: Rows, layout: _Layout, target: float) -> None:
    """Requests that a model's replicas serve above `target` times their limit are crowded."""
    for t in range(layout.periods):
        crowded = rows.block(layout.models, -np.inf, 0.0)
        rows.enter(crowded, layout.crowded[t], -1.0)
        rows.enter(np.broadcast_to(crowded[layout.at.model], layout.y[t].shape), layout.y[t], 1.0)
        layout.enter_room(rows, crowded[layout.at.model], -target, t)


def _lose(rows: Rows, layout: _Layout) -> None:
    """Without a domain, what its replicas served is lost but for what the others have room for."""
    at, whole = layout.at, np.maximum(layout.facts.demand.sum(axis=(1, 2)), 1e-9)
    for t in range(layout.periods):
        for i, domain in enumerate(layout.domains):
            left = 1 - layout.facts.inside[domain, at.site]
            lost = rows.block(layout.models, -np.inf, 0.0)
            rows.enter(lost, layout.lost[t, i], -1.0)
            rows.enter(np.broadcast_to(lost[at.model], layout.y[t].shape), layout.y[t], 1.0)
            layout.enter_room(rows, lost[at.model], -left, t)
            share = rows.block(1, 0.0, np.inf)
            rows.enter(share, layout.lost_share[t, i], whole[t])
            rows.enter(share, layout.lost[t, i], -1.0)
            worst = rows.block(1, 0.0, np.inf)
            rows.enter(worst, layout.worst[t], 1.0)
            rows.enter(worst, layout.lost_share[t, i], -1.0)


def _bounds(layout: _Layout, constants: Mapping[str, float]) -> tuple[Floats, Floats, int, Floats]:
    """Cost and upper bound of the variables, how many are integers, and their lower bounds."""
    facts, at = layout.facts, layout.at
    cost, upper, least = np.zeros(layout.size), np.full(layout.size, np.inf), np.zeros(layout.size)
    steps = facts.steps
    widths = np.diff([0.0, *CUTS])
    edges = np.array([0.0, *CUTS])
    price = edges * (1 + facts.convexity * edges) / (1 + facts.convexity)
    slopes = facts.weights[TERM.unserved] * np.diff(price) / widths
    per_rps = 1 / np.maximum(constants["level"] * facts.demand.sum(axis=(1, 2)), 1e-9)
    cost[layout.x] = steps[:, None] * facts.rent[at.model, at.site] * facts.up[:, at.site]
    cost[layout.launch] = facts.weights[TERM.churn] + constants["move"] + facts.fetch[at.model, at.site]
    for t, y in enumerate(layout.y):
        cost[y] = steps[t] * (layout.serving[t] * per_rps[t] + facts.answer[at.model, at.site])
    cost[layout.unserved] = steps[:, None] * slopes
    cost[layout.crowded] = (constants["crowd"] * facts.weights[TERM.latency] * steps * per_rps)[:, None]
    chance = np.minimum(constants["risk"] * facts.danger[layout.domains], 1.0)
    cost[layout.lost_share] = steps[:, None, None] * chance[:, None] * slopes
    cost[layout.worst] = steps * constants["exposed"] * facts.weights[TERM.exposure]
    upper[layout.x] = 1.0
    fixed = facts.fixed[at.site]
    upper[layout.x[:, fixed]] = least[layout.x[:, fixed]] = layout.held[fixed]
    upper[layout.launch] = 1.0
    upper[layout.unserved] = widths
    upper[layout.lost_share] = widths
    return cost, upper, layout.count, least


def plan(facts: Outlook, constants: Mapping[str, float], limits: Mapping[str, float | int] = LIMITS) -> Plan | None:
    """The plan of the programme, None where HiGHS finds none within its limits.

    The relaxation is solved first, and whole numbers of it are kept where they launch or launch nothing. The integers
    that are left are few: replicas that are held, and those that the relaxation would halve.
    """
    at = places(facts)
    now = np.zeros_like(facts.held)
    if not len(at.model):
        return Plan(now, 0.0)
    programme = formulate(facts, at, constants)
    relaxed = highs.solve(programme._replace(whole=0), {})
    values = None if relaxed is None else highs.solve(_fixed(programme, relaxed, facts.held[at.model, at.site]), limits)
    if values is None:
        return None
    layout = _Layout(facts, at)
    now[at.model, at.site] = values[layout.x[0]] > 0.5
    served = sum(steps * values[y].sum() for steps, y in zip(facts.steps, layout.y, strict=True))
    asked = constants["level"] * (facts.steps * facts.demand.sum(axis=(1, 2))).sum()
    return Plan(now, float(served / max(asked, 1e-9)))


def _fixed(programme: Programme, relaxed: Floats, held: npt.NDArray[np.bool_]) -> Programme:
    """The programme with its integers fixed at what they are in the relaxation, where that is whole; held ones stay free."""
    assert programme.least is not None
    chosen = relaxed[: programme.whole]
    least, upper = programme.least.copy(), programme.upper.copy()
    least[: programme.whole] = np.where(chosen > 1 - WHOLE, 1.0, least[: programme.whole])
    upper[: programme.whole] = np.where((chosen < WHOLE) & ~held, 0.0, upper[: programme.whole])
    return programme._replace(least=least, upper=upper)
