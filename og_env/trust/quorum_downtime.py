"""Expected downtime of a quorum: the hours a year in which too little weight is live.

Given how many shocks of each shared domain are active, nodes fail independently of each other: node i is up with probability
own_i prod_d (1 - p_id)^(active shocks of d), where own_i covers what it shares with nobody. So

    P(no quorum) = sum over states of active shocks P(state) P(live weight <= 2/3 | state).

Where the states that matter can be listed, they are (`enumeration`: states below 1e-17 are left out, and what they weigh
together is reported). Otherwise (`sampling`) no shock and one shock are still enumerated and two or more are sampled, half of
the samples with the heavy domains drawn more often, which bounds the likelihood ratio by 2 (defensive mixture, Hesterberg
1995). The inner probability is exact where the possible sums of weights are few and drawn elsewhere
(`live_weight`). Every node's leave-one-out figure comes from the same states and draws.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from og_env.trust import live_weight
from og_env.trust.failure_correlation import HOURS_PER_YEAR, Floats, Ints, sums_by
from og_env.trust.fleet import Fleet, Types, node_types

SMALLEST_STATE = 1e-17
"""Probability below which a state is left out."""
MAX_STATES = 20_000
"""Number of states up to which they are enumerated."""
MIN_SAMPLES, MAX_SAMPLES = 2048, 16_384
"""Fewest and most samples where the caller does not say how many."""
SAMPLED_WORK = 30_000_000
"""Samples times types of nodes that sampling may touch, which takes about a second."""
VOTES_DRAWN = 5_000_000
"""Votes drawn in all states together, but at least `live_weight.MIN_DRAWS` draws in each that bounds do not settle."""
MOST_CAUSES = 5
"""Number of causes that are told."""
BLOCK_ENTRIES = 2_000_000
"""Number of up-probabilities [states, voters] that are held at once."""

Method = Literal["enumeration", "sampling"]


class Cause(NamedTuple):
    """A shared domain during whose outages the quorum is missing."""

    kind: str
    """label of its kind"""
    name: str
    """name of the domain"""
    share: float
    """share of the hours without quorum in which the domain is out; shares of several add up to more than 1"""


class Outage(NamedTuple):
    """Expected downtime of the quorum of a fleet of N nodes."""

    hours_per_year: float
    """expected hours a year without quorum"""
    standard_error: float
    """standard error of `hours_per_year`; 0 where all states were enumerated and no votes drawn"""
    hours_without: Floats
    """float64 [N] expected hours a year without quorum of the fleet without each node"""
    method: Method
    """how the states of active shocks were summed"""
    truncation: float
    """hours a year that the states left out could add at most"""
    causes: tuple[Cause, ...]
    """the MOST_CAUSES domains with the largest shares, the largest first; empty where no shared domain matters"""


class Shocks(NamedTuple):
    """The D domains that two nodes or more share and that can fail, in a fleet with G types of nodes."""

    load: Floats
    """float64 [D] mean number of active shocks"""
    kind: Ints
    """int64 [D] index of the domain's kind in `Fleet.kinds`"""
    number: Ints
    """int64 [D] index of the domain within its kind"""
    share: Floats
    """float64 [D] share of the weight that a shock hits on average"""
    own: Floats
    """float64 [G] probability that everything that a node of the type shares with nobody is up"""


class States(NamedTuple):
    """S states of active shocks with their probabilities; in a state at most J domains have active shocks."""

    probability: Floats
    """float64 [S] probability, or for sampled states a weight, so that the sum is the probability of all states"""
    domain: Ints
    """int64 [S, J] domains with active shocks, -1 where a state has fewer than J"""
    active: Ints
    """int64 [S, J] number of active shocks of each of these domains"""


def quorum_outage(
    fleet: Fleet, *, method: Method | None = None, samples: int | None = None, seed: int = 0, types: Types | None = None
) -> Outage:
    """Expected hours a year without quorum, of the fleet and of the fleet without each node.

    `method` None enumerates the states where they are at most MAX_STATES and samples elsewhere. Raises ValueError if
    enumeration is asked for and there are more states. `types` is `node_types(fleet)` where that is known.
    """
    types = types or node_types(fleet)
    shocks = shared_shocks(fleet, types)
    rng = np.random.default_rng(seed)
    listed = None if method == "sampling" else enumerate_states(shocks.load, MAX_STATES)
    if listed is None and method == "enumeration":
        raise ValueError(f"more than {MAX_STATES:,} states matter; use sampling")
    if listed is not None:
        total = _sum(fleet, types, shocks, listed, rng)
        left_out = max(0.0, 1.0 - float(listed.probability.sum()))
        truncation = left_out * HOURS_PER_YEAR if left_out > 1e-14 else 0.0
        causes = _causes(fleet, shocks, [(listed, total)])
        return _outage(total.mean, total.variance, total.without, "enumeration", truncation, causes)
    few = _none_or_one(shocks)
    exact = _sum(fleet, types, shocks, few, rng)
    if samples is None:
        samples = int(np.clip(SAMPLED_WORK // len(types.size), MIN_SAMPLES, MAX_SAMPLES))
    many = _two_or_more(shocks, samples, rng)
    distinct, of_sample = _distinct(many)
    sampled = _sum(fleet, types, shocks, distinct, rng)
    between = samples * float(np.var(many.probability * sampled.by_state[of_sample], ddof=1))
    variance = exact.variance + sampled.variance + between
    causes = _causes(fleet, shocks, [(few, exact), (distinct, sampled)])
    return _outage(exact.mean + sampled.mean, variance, exact.without + sampled.without, "sampling", 0.0, causes)


def shared_shocks(fleet: Fleet, types: Types) -> Shocks:
    """The domains that two nodes or more share and that can fail, and the probability that everything else is up."""
    risk = types.load * types.hit
    mass = sums_by(types.of_node, fleet.weight, len(types.size)) / fleet.weight.sum()
    shared = np.zeros_like(risk, bool)
    columns: list[tuple[Floats, Ints, Ints, Floats]] = []
    for k in range(risk.shape[1]):
        live_types = np.flatnonzero((types.domain[:, k] >= 0) & (risk[:, k] > 0))
        if not len(live_types):
            continue
        domain = types.domain[live_types, k]
        members = np.bincount(domain, weights=types.size[live_types])
        company = members[domain] >= 2
        shared[live_types[company], k] = True
        several = np.flatnonzero(members >= 2)
        load = np.zeros(len(members))
        load[domain] = types.load[live_types, k]
        share = sums_by(domain, (mass * types.hit[:, k])[live_types])
        columns.append((load[several], np.full(len(several), k), several, share[several]))
    own = np.exp(-np.where(shared, 0.0, risk).sum(axis=1))
    if not columns:
        none = np.zeros(0, np.int64)
        return Shocks(np.zeros(0), none, none, np.zeros(0), own)
    load, kind, index, share = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return Shocks(load, kind, index, share, own)


def enumerate_states(load: Floats, max_states: int) -> States | None:
    """All states of domains with loads [D] that are likelier than SMALLEST_STATE; None if more than `max_states`."""
    probability = np.array([1.0])
    domain = np.zeros((1, 0), np.int64)
    count = np.zeros((1, 0), np.int64)
    for d in np.argsort(-load):
        one = [np.exp(-load[d])]
        while len(one) < 2 or one[-1] > SMALLEST_STATE:
            one.append(one[-1] * load[d] / len(one))
        joint = np.outer(np.array(one), probability)
        active, base = np.nonzero(joint > SMALLEST_STATE)
        if len(active) > max_states:
            return None
        width = int(np.max(np.sum(count[base] > 0, axis=1) + (active > 0))) if len(active) else 0
        wider = max(0, width - domain.shape[1])
        domain = np.pad(domain[base], ((0, 0), (0, wider)), constant_values=-1)
        count = np.pad(count[base], ((0, 0), (0, wider)))
        hit = np.flatnonzero(active > 0)
        slot = np.sum(count[hit] > 0, axis=1)
        domain[hit, slot] = d
        count[hit, slot] = active[hit]
        probability = joint[active, base]
    return States(probability, domain, count)


def _none_or_one(shocks: Shocks) -> States:
    """The states with no active shock or with one."""
    quiet = np.exp(-shocks.load.sum())
    domain = np.arange(-1, len(shocks.load))[:, None]
    return States(quiet * np.concatenate([[1.0], shocks.load]), domain, (domain >= 0).astype(np.int64))


def _two_or_more(shocks: Shocks, samples: int, rng: np.random.Generator) -> States:
    """Sampled states with two or more active shocks; their weights sum to about the probability of two or more."""
    total = float(shocks.load.sum())
    if total == 0:
        none = np.full((samples, 1), -1)
        return States(np.zeros(samples), none, np.zeros_like(none))
    size, many = _truncated_poisson(total, samples, rng)
    plain = shocks.load / total
    heavy = shocks.share**2 * (shocks.load > 0)
    tilted = (plain + heavy / heavy.sum()) / 2 if heavy.sum() > 0 else plain
    tilt = np.arange(samples) % 2 == 1
    drawn = np.where(
        tilt[:, None],
        rng.choice(len(plain), (samples, size.max()), p=tilted),
        rng.choice(len(plain), (samples, size.max()), p=plain),
    )
    used: NDArray[np.bool_] = np.arange(int(size.max())) < size[:, None]
    ratio = np.prod(np.where(used, tilted[drawn] / plain[drawn], 1.0), axis=1)
    return States(many / (0.5 + 0.5 * ratio) / samples, np.where(used, drawn, -1), used.astype(np.int64))


def _distinct(states: States) -> tuple[States, Ints]:
    """Each sampled state once, with the weight of all its samples, and the index of each sample's state."""
    key = np.sort(states.domain, axis=1)
    domain, of_sample = np.unique(key, axis=0, return_inverse=True)
    of_sample = of_sample.ravel()
    return States(sums_by(of_sample, states.probability), domain, (domain >= 0).astype(np.int64)), of_sample


def _truncated_poisson(mean: float, samples: int, rng: np.random.Generator) -> tuple[Ints, float]:
    """Stratified Poisson numbers [samples] given that they are 2 or more, and the probability that one is."""
    top = int(mean + 12 * np.sqrt(mean) + 30)
    terms = np.empty(top + 1)
    terms[0] = 1.0
    for n in range(1, top + 1):
        terms[n] = terms[n - 1] * mean / n
    terms *= np.exp(-mean)
    tail: Floats = np.cumsum(terms[2:])
    places: Floats = rng.permutation((np.arange(samples) + rng.random(samples)) / samples)
    size = np.searchsorted(tail, places * tail[-1], side="right")
    return np.minimum(size + 2, top), float(tail[-1])


class _Total(NamedTuple):
    """Probability of no quorum, summed over states."""

    mean: float
    """probability of one of the states and no quorum"""
    variance: float
    """variance of `mean` from drawing votes inside the states"""
    without: Floats
    """float64 [N] probability of one of the states and no quorum in the fleet without each node"""
    by_state: Floats
    """float64 [S] probability of no quorum in each state"""


def _sum(fleet: Fleet, types: Types, shocks: Shocks, states: States, rng: np.random.Generator) -> _Total:
    """Sum the probability of no quorum over the states, a block of states at a time."""
    voters = live_weight.voters(fleet.weight, types.of_node)
    block = max(1, BLOCK_ENTRIES // len(voters.weight))
    by_state = np.zeros(len(states.probability))
    without = np.zeros(len(voters.weight))
    votes = VOTES_DRAWN * block // max(block, len(by_state))
    variance = 0.0
    unsettled = _unsettled(fleet, types, shocks, states)
    for start in range(0, len(by_state), block):
        part = start + np.flatnonzero(unsettled[start : start + block])
        if not len(part):
            continue
        probability = states.probability[part]
        up = _up_probability(types, shocks, states.domain[part], states.active[part])[:, voters.type]
        lost = live_weight.lost(voters, up, probability, votes, rng)
        by_state[part] = lost.probability
        without += probability @ lost.without
        variance += float(probability**2 @ lost.variance)
    return _Total(float(states.probability @ by_state), variance, without[voters.of_node], by_state)


def _unsettled(fleet: Fleet, types: Types, shocks: Shocks, states: States) -> NDArray[np.bool_]:
    """Whether the quorum can be missing in each state [S], by a bound that needs no node's probability.

    A shock takes away no more weight than it does alone, so the expected live weight is at least that without shocks minus
    the sum over the shocks. Where Hoeffding's bound from there is negligible, `live_weight.lost` would find 0 as well.
    """
    mass = sums_by(types.of_node, fleet.weight, len(types.size)) * shocks.own
    taken = np.zeros(len(shocks.load) + 1)  # the last one is for -1, no shock
    for k in np.unique(shocks.kind):
        rows = np.flatnonzero(shocks.kind == k)
        inside = np.flatnonzero(types.domain[:, k] >= 0)
        size = max(int(shocks.number[rows].max()), int(types.domain[inside, k].max())) + 1
        lost = sums_by(types.domain[inside, k], (mass * types.hit[:, k])[inside], size)
        taken[rows] = lost[shocks.number[rows]]
    expected = float(mass.sum()) - (states.active * taken[states.domain]).sum(axis=1)
    slack = np.maximum(expected - live_weight.limit(float(fleet.weight.sum())) - fleet.weight.max(), 0.0)
    bound = np.exp(-2 * (slack * (1 - 1e-9)) ** 2 / float(fleet.weight @ fleet.weight))
    return bound >= live_weight.NEGLIGIBLE


def _up_probability(types: Types, shocks: Shocks, domain: Ints, count: Ints) -> Floats:
    """Probability [S, G] that a node of each type is up, given `count` [S, J] active shocks of the domains [S, J]."""
    up = np.tile(shocks.own, (len(domain), 1))
    struck: dict[int, tuple[Ints, Floats]] = {}
    for state, slot in zip(*np.nonzero(count), strict=True):
        d = int(domain[state, slot])
        if d not in struck:
            k = shocks.kind[d]
            members = np.flatnonzero(types.domain[:, k] == shocks.number[d])
            struck[d] = members, 1 - types.hit[members, k]
        members, spared = struck[d]
        up[state, members] *= spared ** count[state, slot]
    return up


def _causes(fleet: Fleet, shocks: Shocks, parts: list[tuple[States, _Total]]) -> tuple[Cause, ...]:
    """The domains that are out in most of the time without quorum."""
    lost = np.zeros(len(shocks.load))
    whole = 0.0
    for states, total in parts:
        mass = states.probability * total.by_state
        whole += float(mass.sum())
        state, slot = np.nonzero(states.active > 0)
        at = states.domain[state, slot]
        _, first = np.unique(state * (len(lost) + 1) + at, return_index=True)
        np.add.at(lost, at[first], mass[state[first]])
    if whole <= 0:
        return ()
    largest = [d for d in np.argsort(-lost, kind="stable")[:MOST_CAUSES] if lost[d] > 0]
    names = [(int(shocks.kind[d]), int(shocks.number[d]), float(lost[d]) / whole) for d in largest]
    return tuple(Cause(fleet.kinds[k], fleet.names[k][number], share) for k, number, share in names)


def _outage(
    mean: float, variance: float, without: Floats, method: Method, truncation: float, causes: tuple[Cause, ...]
) -> Outage:
    """The probabilities of no quorum as hours a year; a sampled mean may exceed 1 where the quorum is gone all the time."""
    hours = HOURS_PER_YEAR
    most = np.minimum(without, 1.0)
    return Outage(hours * min(mean, 1.0), hours * float(np.sqrt(variance)), hours * most, method, truncation, causes)
