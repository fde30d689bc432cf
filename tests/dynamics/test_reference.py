"""The oracle's numbers, worked out on paper in a world of three sites (tests/cases/paper_world.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from og_env.dynamics.reference import possible, step
from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import (
    ABSENT,
    DOWN,
    FETCHING,
    FROZEN,
    GATEWAY,
    LOADING,
    ON_DISK,
    SLOW,
    STAGING,
    STORE,
    TERMS,
    UNTRUSTED,
    VERIFIER,
    WARM,
    State,
)
from tests.cases.paper_world import (
    ADD_STORE,
    ADD_VERIFIER,
    LAUNCH,
    REMOVE_STORE,
    REMOVE_VERIFIER,
    RETIRE,
    STAGE,
    A,
    B,
    C,
    Paper,
    paper,
    play,
    put,
    strikes,
)


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-9)


def served_at_a_and_c(**changes: Any) -> Paper:
    world = paper(**changes)
    put(world, A, WARM)
    put(world, C, WARM)
    return world


def test_a_served_step() -> None:
    done = play(served_at_a_and_c(verification=TEE))
    # 3 requests/s each: utilisation 0.3 is also the waiting probability, and a wait lasts 2 / 0.7 s
    queue_s, queue_var = 0.3 * 2 / 0.7, (2 * 0.3 - 0.3**2) * (2 / 0.7) ** 2
    latency_s = 0.010 + 0.050 + 2 + queue_s  # half of the answers come from C, 100 ms away
    variance = 0.050**2 + (0.5 * 2) ** 2 + queue_var
    assert done.state.load_rps[0, 0].tolist() == [3, 0, 3]
    assert done.metrics["served_share"] == 1
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    sigma2 = math.log(1 + variance / latency_s**2)
    assert done.metrics["latency_p50_ms"] == near(1000 * latency_s * math.exp(-sigma2 / 2))
    late = math.exp(2.3263479 * math.sqrt(sigma2))
    assert done.metrics["latency_p99_ms"] == near(done.metrics["latency_p50_ms"] * late)
    # the third and last vote is 100 ms away from A as from C
    assert (done.metrics["quorum"], done.metrics["verified_share"]) == (3, 1)
    assert done.metrics["finality_s"] == near(latency_s + 0.1 + 1 + 10)
    assert done.metrics["n_eff"] == near(2)


def test_the_bill_of_a_served_step() -> None:
    done = play(served_at_a_and_c(verification=TEE))
    gpus, machines, storage = 2 * 2.0, 6 * 0.1, 3 * 10 * 0.001  # two replicas and a store hold the weights
    egress = 6 * 3600 * 1e-3 * 0.05
    assert done.metrics["usd_per_hour"] == near(gpus + machines + storage + egress)
    assert done.metrics["usd_per_1000_requests"] == near((gpus + machines + storage + egress) / 21.6)
    latency_s = done.metrics["latency_mean_ms"] / 1000
    expected = {
        "latency": latency_s / (latency_s + 5),
        "cost": (gpus + machines + storage + egress) / 10,
        "unserved": 0,
        "unverified": 0,
        "exposure": 1,  # any domain takes one of the three votes that the quorum needs
        "churn": 0,
    }
    assert done.terms == near(expected)
    weights = dict(zip(TERMS, [0.5, 0.25, 1, 0.2, 0.3, 0.01], strict=True))
    assert done.output.reward[0] == near(-sum(weights[name] * expected[name] for name in TERMS))


def test_overflow_is_split_once_over_what_is_spare() -> None:
    # A takes up to 16, C up to 4; of 8 each, 4 move from C to A
    done = play(served_at_a_and_c(base_rps=16, capacity_rps=[20, 10, 5]))
    assert done.state.load_rps[0, 0].tolist() == near([12, 0, 4])
    assert done.terms["unserved"] == 0
    # of 15 each, C keeps 4 and 1 moves to A; a third of the demand is left
    done = play(served_at_a_and_c(base_rps=30, capacity_rps=[20, 10, 5]))
    assert done.state.load_rps[0, 0].tolist() == near([16, 0, 4])
    assert done.metrics["served_share"] == near(2 / 3)
    assert done.terms["unserved"] == near((1 / 3) * (1 + 5 / 3) / 6)
    assert done.metrics["utilisation"] == near(20 / 25)


def test_softmax_weighs_network_cold_wait_load_and_risk() -> None:
    world = served_at_a_and_c(base_rps=1)
    world.state.knobs[0] = [40, 0.1, 2, 0.5, 0.2]
    world.state.load_rps[0, 0] = [5, 0, 0]
    world.state.site_share[0] = [0.4, 0, 0.6]
    world.tape.signal[0, 0, 0] = 127  # alarm 127 / 127.5 - 0.25
    put(world, C, LOADING, 60_000)
    load = play(world).state.load_rps[0, 0]
    score_a = 2 * 0.5 + 0.5 * (127 / 127.5 - 0.25 + 0.4)
    score_c = 0.1 * 60 + 100 / 40
    soft = math.exp(-score_a) / (math.exp(-score_a) + math.exp(-score_c))
    assert load[A] == near(0.8 * soft + 0.2 * 0.5)


def test_a_replica_that_warms_up_within_patience_serves_late() -> None:
    world = paper(base_rps=4)
    put(world, A, LOADING, 60_000)
    done = play(world)
    # 240 of 300 s at 10 requests/s; requests of the first minute wait 60^2 / (2 x 300) s on average over the step
    assert done.state.load_rps[0, 0, A] == near(4)
    assert done.metrics["cold_wait_s"] == near(6)
    latency_s = 0.010 + 2 + 0.5 * 4 + 6
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    variance = 1 + (2 * 0.5 - 0.25) * 4**2 + (60**3 / (3 * 300) - 6**2)
    assert done.metrics["latency_p50_ms"] == near(1000 * latency_s / math.sqrt(1 + variance / latency_s**2))
    assert (done.state.phase[0, 0, A], done.metrics["cold_starts"]) == (WARM, 1)
    put(world, A, LOADING, 60_001)
    assert play(world).metrics["served_rps"] == 0


def test_an_outage_with_an_undetected_dead_site() -> None:
    world = served_at_a_and_c(verification=TEE)
    strikes(world, (0, 1, A), DOWN)
    done = play(world)
    # for 60 of 300 s the router still uses A: it gets 0.2 / 1.2 of 6 requests/s, which time out and go to C
    assert done.state.load_rps[0, 0].tolist() == near([0, 0, 6])
    assert done.metrics["timeout_share"] == near(1 / 6)
    # utilisation 0.6, a wait lasts 2 / 0.4 s; users try gateway A for a fifth of the step, then go to C
    latency_s = 0.110 + 0.2 * 2 + 2 + 0.6 * 5 + 2 / 6
    variance = 1 + (2 * 0.6 - 0.36) * 25 + (1 / 6) * (5 / 6) * 4
    assert done.metrics["latency_mean_ms"] == near(1000 * latency_s)
    p50_ms = 1000 * latency_s / math.sqrt(1 + variance / latency_s**2)
    assert done.metrics["latency_p50_ms"] == near(p50_ms)
    assert (done.metrics["sites_down"], done.metrics["verifiers_live"], done.metrics["gateways_live"]) == (1, 2, 1)
    assert (done.terms["unverified"], done.metrics["finality_s"]) == (1, 0)
    # a struck replica loads anew; down machines are not billed, what lies on disk is
    assert (done.state.phase[0, 0, A], done.state.load_left_ms[0, 0, A]) == (LOADING, 30_000)
    assert done.state.undetected_ms[0].tolist() == [0, 0, 0]
    assert done.metrics["usd_per_hour"] == near(2 + 4 * 0.1 + 3 * 10 * 0.001 + 6 * 3600 * 1e-3 * 0.05)


def test_a_detected_dead_site_gets_nothing_and_a_long_detection_lasts() -> None:
    world = served_at_a_and_c(detect_ms=700_000)
    strikes(world, (0, slice(None), A), DOWN)
    first = play(world)
    assert first.state.undetected_ms[0, A] == 400_000
    assert first.metrics["timeout_share"] == near(1 / 2)
    third = play(world._replace(state=play(world._replace(state=first.state)).state))
    assert third.metrics["timeout_share"] == near((1 / 3) / (4 / 3))  # 100 of 300 s
    assert third.state.undetected_ms[0, A] == 0


def test_a_dead_site_beyond_the_gateway_or_without_a_launched_replica_is_no_trap() -> None:
    world = paper()
    put(world, A, WARM)
    put(world, C, ON_DISK)
    strikes(world, (0, 1, C), DOWN)
    done = play(world)
    assert done.metrics["timeout_share"] == 0
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.010 + 2 + 0.6 * 5))


def test_two_fetches_share_a_store() -> None:
    world = paper(load_ms=120_000)
    put(world, A, FETCHING, 60_000)
    put(world, C, STAGING, 10_000)
    done = play(world)
    # 100 MB/s halved: A gets 15 GB in the step, C is through after 200 s
    assert done.state.fetch_left_mb[0, 0].tolist() == [45_000, 0, 0]
    assert done.state.phase[0, 0].tolist() == [FETCHING, ABSENT, ON_DISK]
    assert done.metrics["fetch_gb"] == near(25)
    rent, egress = 2 + 6 * 0.1 + 10 * 0.001, 25 * 0.05 * 12
    assert done.metrics["usd_per_hour"] == near(rent + egress)


@pytest.mark.parametrize(
    ("load_ms", "phase", "left", "cold_starts"), [(120_000, LOADING, 20_000, 0), (100_000, WARM, 0, 1)]
)
def test_a_finished_fetch_loads_in_the_time_left(load_ms: int, phase: int, left: int, cold_starts: int) -> None:
    world = paper(load_ms=load_ms)
    put(world, A, FETCHING, 20_000)  # 200 s
    done = play(world)
    assert (done.state.phase[0, 0, A], done.state.load_left_ms[0, 0, A]) == (phase, left)
    assert done.state.fetch_left_mb[0, 0, A] == 0
    assert done.metrics["cold_starts"] == cold_starts


def test_without_a_live_store_nothing_is_fetched() -> None:
    world = paper()
    put(world, A, FETCHING, 20_000)
    strikes(world, (0, 1, B), DOWN)
    done = play(world, ADD_STORE + C)
    assert done.state.fetch_left_mb[0, 0, A] == 20_000
    assert done.state.role_ms[0, STORE, C] == 600_000  # a new store needs the weights as well


@pytest.mark.parametrize(
    ("verifiers", "down", "quorum", "verified"),
    [([A, B, C], [], 3, 1), ([A, B, C], [B], 3, 0), ([A, C], [B], 2, 1), ([A, B], [B], 2, 0), ([C], [B], 1, 1)],
)
def test_the_quorum_is_more_than_two_thirds(verifiers: list[int], down: list[int], quorum: int, verified: int) -> None:
    world = served_at_a_and_c(verification=TEE)
    world.state.role_ms[0, VERIFIER] = -1
    world.state.role_ms[0, VERIFIER, verifiers] = 0
    strikes(world, (0, 1, down), DOWN)
    done = play(world)
    assert (done.metrics["quorum"], done.metrics["verified_share"]) == (quorum, verified)
    assert done.terms["unverified"] == 1 - verified
    assert (done.metrics["finality_s"] > 0) == (verified == 1)


def test_only_attested_answers_of_a_tee_model_are_verified() -> None:
    world = served_at_a_and_c(verification=TEE)
    strikes(world, (0, 1, C), UNTRUSTED)
    done = play(world)
    assert done.metrics["verified_share"] == near(0.5)
    assert done.terms["unverified"] == near(0.5)


def test_slow_sites_have_half_the_capacity_and_take_longer() -> None:
    world = served_at_a_and_c()
    strikes(world, (0, 1, slice(None)), SLOW)
    done = play(world)
    # utilisation 3 of 5; 100 ms more to the gateway and 100 ms more to the replica, half of them 100 ms away
    assert done.state.load_rps[0, 0].tolist() == near([3, 0, 3])
    assert done.metrics["latency_mean_ms"] == near(1000 * (0.110 + 0.150 + 4 + 0.6 * 4 / 0.4))


def test_contingency_counts_what_spare_capacity_cannot_take() -> None:
    done = play(served_at_a_and_c(base_rps=14))
    # 7 requests/s each with a limit of 8: one of the seven finds room elsewhere
    assert done.output.domain_loss[0].tolist() == near([6 / 14, 6 / 14, 0, 6 / 14])
    assert done.state.site_share[0].tolist() == near([0.5, 0, 0.5])
    assert done.terms["exposure"] == near(6 / 14)


def test_what_is_not_yet_warm_is_no_reserve() -> None:
    world = served_at_a_and_c(base_rps=6)
    assert play(world).metrics["exposure"] == near(0)
    put(world, C, LOADING, 1)
    assert play(world).output.domain_loss[0].tolist() == near([0.5, 0.5, 0, 0])


def test_contingency_of_the_last_gateway_and_the_last_copy() -> None:
    world = served_at_a_and_c(base_rps=2)
    assert play(world).metrics["exposure"] == 0
    world.state.role_ms[0, GATEWAY, C] = -1
    assert play(world).output.domain_loss[0].tolist() == [1, 1, 0, 0]
    alone = paper()
    put(alone, B, WARM)  # store and only copy
    alone.state.role_ms[0, GATEWAY, B] = 0
    assert play(alone).output.domain_loss[0].tolist() == [1, 0, 1, 0]


def test_contingency_of_a_broken_attestation_counts_trusted_spare() -> None:
    world = served_at_a_and_c(base_rps=14, verification=TEE, domain_effect=UNTRUSTED)
    assert play(world).terms["exposure"] == near(6 / 14)
    strikes(world, (0, 1, C), UNTRUSTED)
    # nothing trusted is spare outside A; the answers of C do not count as verified in the first place
    assert play(world).output.domain_loss[0].tolist() == near([7 / 14, 7 / 14, 0, 0])


def test_the_opponent_breaks_the_domain_with_most_traffic() -> None:
    world = served_at_a_and_c()
    world.tape.attack[:] = 1
    world.state.attacks_left[:] = 1
    world.state.site_share[0] = [0.1, 0, 0.9]  # only shared domains are attacked
    done = play(world)
    assert done.state.status[0].tolist() == [DOWN, DOWN, 0]
    assert done.metrics["active_outages"] == 1
    assert [int(x[0]) for x in done.state[-4:]] == [0, 2, 4, 0]  # domain, last step, ready again, attacks left
    second = play(world._replace(state=done.state))
    third = play(world._replace(state=second.state))
    assert second.state.status[0].tolist() == [DOWN, DOWN, 0]
    assert (third.state.status[0].tolist(), third.metrics["active_outages"]) == ([0, 0, 0], 0)


def left_of(state: State, site: int) -> int:
    """MB to fetch or ms to load; one of them is 0."""
    fetch_mb, load_ms = int(state.fetch_left_mb[0, 0, site]), int(state.load_left_ms[0, 0, site])
    assert min(fetch_mb, load_ms) == 0
    return fetch_mb + load_ms


def placed(phase: int, left: int = 0) -> Callable[[Paper], None]:
    return lambda world: put(world, A, phase, left)


def seen(site: int, bits: int) -> Callable[[Paper], None]:
    def change(world: Paper) -> None:
        world.state.status[0, site] = bits

    return change


@pytest.mark.parametrize(
    ("operation", "prepare", "phase", "left", "gpus"),
    [
        (LAUNCH + A, placed(ABSENT), FETCHING, 10_000, 1),
        (LAUNCH + A, placed(STAGING, 7), FETCHING, 7, 1),
        (LAUNCH + A, placed(ON_DISK), LOADING, 30_000, 1),
        (LAUNCH + A, placed(WARM), None, 0, 1),
        (LAUNCH + A, seen(A, FROZEN), None, 0, 0),
        (LAUNCH + A, seen(B, DOWN), None, 0, 0),
        (STAGE + A, placed(ABSENT), STAGING, 10_000, 0),
        (STAGE + A, placed(ON_DISK), None, 0, 0),
        (RETIRE + A, placed(FETCHING, 5), ABSENT, 0, 0),
        (RETIRE + A, placed(WARM), ON_DISK, 0, 0),
        (RETIRE + A, placed(STAGING, 5), None, 5, 0),
    ],
)
def test_operations_on_replicas(
    operation: int, prepare: Callable[[Paper], None], phase: int | None, left: int, gpus: int
) -> None:
    """phase None: impossible, nothing changes."""
    world = paper(link_mb_per_s=0, load_ms=30_000)  # a fetch gets 1 MB/s
    prepare(world)
    before = world.state.phase[0, 0, A]
    can = phase is not None
    assert possible(world.world, world.state)[0, operation] == can
    strikes(world, (0, 1, A), DOWN)  # keeps what the operation did from moving on
    done = play(world, operation)
    assert done.state.phase[0, 0, A] == (phase if can else max(before - (before == WARM), 0))
    assert done.state.gpus_used[0, A] == gpus
    assert done.output.operation[0] == (operation if can else 0)
    if can or before != WARM:
        assert left_of(done.state, A) == left
    assert (done.metrics["operations"], done.metrics["impossible_operations"]) == (can, not can)
    assert done.terms["churn"] == can


@pytest.mark.parametrize(
    ("operation", "role", "site", "after_ms"),
    [
        (ADD_VERIFIER + A, VERIFIER, A, None),
        (REMOVE_VERIFIER + A, VERIFIER, A, -1),
        (ADD_STORE + A, STORE, A, 300_000),
        (REMOVE_STORE + B, STORE, B, -1),
        (REMOVE_STORE + A, STORE, A, None),
    ],
)
def test_operations_on_roles(operation: int, role: int, site: int, after_ms: int | None) -> None:
    """after_ms None: impossible."""
    world = paper()
    before = world.state.role_ms[0, role, site]
    done = play(world, operation)
    assert done.state.role_ms[0, role, site] == (before if after_ms is None else after_ms)
    assert done.metrics["impossible_operations"] == (after_ms is None)


def test_a_model_must_fit() -> None:
    world = paper(gpu_count=1, replica_gpus=1)
    assert possible(world.world, world.state)[0, LAUNCH + A]
    world.state.gpus_used[0, A] = 1
    assert not possible(world.world, world.state)[0, LAUNCH + A]
    world = paper(replica_gpus=0)
    assert not possible(world.world, world.state)[0, [LAUNCH, STAGE]].any()


def test_an_episode_is_cut_off_at_its_last_row_and_no_further() -> None:
    world = paper()
    ends = []
    for _ in range(3):
        done = play(world)
        world = world._replace(state=done.state)
        ends.append(int(done.output.truncated[0]))
    assert ends == [0, 0, 1]
    with pytest.raises(ValueError, match="past the episode's end"):
        play(world)


def test_a_step_leaves_its_arguments_alone_and_names_a_bad_operation() -> None:
    world = served_at_a_and_c()
    before = State(*(array.copy() for array in world.state))
    step(world.world, world.tape, world.state, np.array([RETIRE + A]))
    for old, now in zip(before, world.state, strict=True):
        np.testing.assert_array_equal(old, now)
    for operation in (-1, 28):
        with pytest.raises(ValueError, match=r"outside 0 \.\. 27"):
            play(world, operation)
