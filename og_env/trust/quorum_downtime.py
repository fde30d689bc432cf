"""Expected time without a quorum.

Given how many shocks of each shared domain are active, nodes fail independently of each other: node i is up with probability
own_i prod_d (1 - p_id)^(active shocks of d), where own_i covers what it shares with nobody. So

    P(no quorum) = sum over states of active shocks P(state) P(live weight <= 2/3 | state).

Where the states that matter can be listed, they are (`enumeration`: states below 1e-17 are left out, and what they weigh
together is reported). Otherwise (`sampling`) no shock and one shock are still enumerated and two or more are sampled, half of
the samples with the heavy domains drawn more often, which bounds the likelihood ratio by 2 (defensive mixture, Hesterberg
1995). The inner probability is exact where the possible sums of weights are few and drawn elsewhere
(live.py). Every node's leave-one-out figure comes from the same states and draws.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from og_env.trust import live_weight
from og_env.trust.failure_correlation import HOURS_PER_YEAR, Floats, Ints, sums_by
from og_env.trust.fleet import Fleet, Types, node_types

SMALLEST_STATE = 1e-17
MAX_STATES = 20_000
MIN_SAMPLES, MAX_SAMPLES = 2048, 16_384
SAMPLED_WORK = 30_000_000
"""samples times groups of nodes, about a second"""
VOTES_DRAWN = 5_000_000
"""in all states together, and at least live.MIN_DRAWS times all nodes in each that is not settled"""
BLOCK_ENTRIES = 2_000_000
"""up-probabilities [states, nodes] held at once"""

Method = Literal["enumeration", "sampling"]


class Outage(NamedTuple):
    hours_per_year: float
    """expected time without quorum"""
    standard_error: float
    """of hours_per_year; 0 where everything was enumerated"""
    hours_without: Floats
    """[N] the same for the fleet without each node"""
    method: Method
    truncation: float
    """hours per year that states left out could add at most"""


class Shocks(NamedTuple):
    """Shared domains that can fail; D domains, G types."""

    load: Floats
    """[D] mean number of active shocks"""
    kind: Ints
    """[D]"""
    number: Ints
    """[D] index within the kind"""
    share: Floats
    """[D] share of the weight that a shock hits on average"""
    own: Floats
    """[G] probability that what is not shared is up"""


class States(NamedTuple):
    """States of active shocks with their probabilities; S states, at most J active (domain, active) entries in each."""

    probability: Floats
    """[S] weights that sum to about the probability of all of them"""
    domain: Ints
    """[S, J] -1 where a state has fewer"""
    active: Ints
    """[S, J] shocks of it that are active"""


def quorum_outage(fleet: Fleet, *, method: Method | None = None, samples: int | None = None, seed: int = 0) -> Outage:
    """Expected hours a year without quorum; `method` None enumerates where feasible and samples elsewhere."""
    types = node_types(fleet)
    shocks = shared_shocks(fleet, types)
    rng = np.random.default_rng(seed)
    listed = None if method == "sampling" else enumerate_states(shocks.load, MAX_STATES)
    if listed is None and method == "enumeration":
        raise ValueError(f"more than {MAX_STATES:,} states matter; use sampling")
    if listed is not None:
        total = _sum(fleet, types, shocks, listed, rng)
        left_out = max(0.0, 1.0 - float(listed.probability.sum()))
        truncation = left_out * HOURS_PER_YEAR if left_out > 1e-14 else 0.0
        return _outage(total.mean, total.variance, total.without, "enumeration", truncation)
    few = _none_or_one(shocks)
    exact = _sum(fleet, types, shocks, few, rng)
    if samples is None:
        samples = int(np.clip(SAMPLED_WORK // len(types.size), MIN_SAMPLES, MAX_SAMPLES))
    many = _two_or_more(shocks, samples, rng)
    distinct, of_sample = _distinct(many)
    sampled = _sum(fleet, types, shocks, distinct, rng)
    between = samples * float(np.var(many.probability * sampled.by_state[of_sample], ddof=1))
    variance = exact.variance + sampled.variance + between
    return _outage(exact.mean + sampled.mean, variance, exact.without + sampled.without, "sampling", 0.0)


def shared_shocks(fleet: Fleet, types: Types) -> Shocks:
    """Domains with two members or more, and the up-probability of everything else."""
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
    """All states with a probability above SMALLEST_STATE, or None if they are more than `max_states`."""
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
    quiet = np.exp(-shocks.load.sum())
    domain = np.arange(-1, len(shocks.load))[:, None]
    return States(quiet * np.concatenate([[1.0], shocks.load]), domain, (domain >= 0).astype(np.int64))


def _two_or_more(shocks: Shocks, samples: int, rng: np.random.Generator) -> States:
    """Samples of two or more active shocks; their weights average to the probability of that."""
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
    used = np.arange(size.max()) < size[:, None]
    ratio = np.prod(np.where(used, tilted[drawn] / plain[drawn], 1.0), axis=1)
    return States(many / (0.5 + 0.5 * ratio) / samples, np.where(used, drawn, -1), used.astype(np.int64))


def _distinct(states: States) -> tuple[States, Ints]:
    """Each state once, with the probability of all its samples, and the state of each sample."""
    key = np.sort(states.domain, axis=1)
    domain, of_sample = np.unique(key, axis=0, return_inverse=True)
    of_sample = of_sample.ravel()
    return States(sums_by(of_sample, states.probability), domain, (domain >= 0).astype(np.int64)), of_sample


def _truncated_poisson(mean: float, samples: int, rng: np.random.Generator) -> tuple[Ints, float]:
    """Poisson numbers given that they are 2 or more, stratified, and the probability of that."""
    top = int(mean + 12 * np.sqrt(mean) + 30)
    terms = np.empty(top + 1)
    terms[0] = 1.0
    for n in range(1, top + 1):
        terms[n] = terms[n - 1] * mean / n
    terms *= np.exp(-mean)
    tail = np.cumsum(terms[2:])
    places = rng.permutation((np.arange(samples) + rng.random(samples)) / samples)
    size = 2 + np.searchsorted(tail, places * tail[-1], side="right")
    return np.minimum(size, top), float(tail[-1])


class _Total(NamedTuple):
    mean: float
    variance: float
    """of drawing inside the states"""
    without: Floats
    """[N]"""
    by_state: Floats
    """[S] probability of no quorum in each"""


def _sum(fleet: Fleet, types: Types, shocks: Shocks, states: States, rng: np.random.Generator) -> _Total:
    """Add up the states, a block at a time."""
    voters = live_weight.voters(fleet.weight, types.of_node)
    block = max(1, BLOCK_ENTRIES // len(voters.weight))
    by_state = np.zeros(len(states.probability))
    without = np.zeros(len(voters.weight))
    votes = VOTES_DRAWN * block // max(block, len(by_state))
    variance = 0.0
    for start in range(0, len(by_state), block):
        part = slice(start, start + block)
        probability = states.probability[part]
        up = _up_probability(types, shocks, states.domain[part], states.active[part])[:, voters.type]
        lost = live_weight.lost(voters, up, probability, votes, rng)
        by_state[part] = lost.probability
        without += probability @ lost.without
        variance += float(probability**2 @ lost.variance)
    return _Total(float(states.probability @ by_state), variance, without[voters.of_node], by_state)


def _up_probability(types: Types, shocks: Shocks, domain: Ints, count: Ints) -> Floats:
    """[S, G] probability of being up given the active shocks [S, J]."""
    up = np.tile(shocks.own, (len(domain), 1))
    for state, slot in zip(*np.nonzero(count), strict=True):
        d = domain[state, slot]
        k = shocks.kind[d]
        members = np.flatnonzero(types.domain[:, k] == shocks.number[d])
        up[state, members] *= (1 - types.hit[members, k]) ** count[state, slot]
    return up


def _outage(mean: float, variance: float, without: Floats, method: Method, truncation: float) -> Outage:
    hours = HOURS_PER_YEAR
    return Outage(hours * mean, hours * float(np.sqrt(variance)), hours * without, method, truncation)
