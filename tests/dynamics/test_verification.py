"""Quorums and attestation on paper."""

from __future__ import annotations

import pytest

from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import DOWN, UNTRUSTED, VERIFIER
from tests.cases.paper_world import A, B, C, Play, near, served_at_a_and_c, strikes


@pytest.mark.parametrize(
    ("verifiers", "down", "quorum", "verified"),
    [([A, B, C], [], 3, 1), ([A, B, C], [B], 3, 0), ([A, C], [B], 2, 1), ([A, B], [B], 2, 0), ([C], [B], 1, 1)],
)
def test_the_quorum_is_more_than_two_thirds(
    play: Play, verifiers: list[int], down: list[int], quorum: int, verified: int
) -> None:
    world = served_at_a_and_c(verification=TEE)
    world.state.role_ms[0, VERIFIER] = -1
    world.state.role_ms[0, VERIFIER, verifiers] = 0
    strikes(world, (0, 1, down), DOWN)
    done = play(world)
    assert (done.metrics["quorum"], done.metrics["verified_share"]) == (quorum, verified)
    assert done.terms["unverified"] == 1 - verified
    assert (done.metrics["finality_s"] > 0) == (verified == 1)


def test_only_attested_answers_of_a_tee_model_are_verified(play: Play) -> None:
    world = served_at_a_and_c(verification=TEE)
    strikes(world, (0, 1, C), UNTRUSTED)
    done = play(world)
    assert done.metrics["verified_share"] == near(0.5)
    assert done.terms["unverified"] == near(0.5)
