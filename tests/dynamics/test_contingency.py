"""The loss of every fault domain on paper."""

from __future__ import annotations

from og_env.dynamics.verification import TEE
from og_env.kernel.arrays import GATEWAY, LOADING, UNTRUSTED, WARM
from tests.cases.paper_world import B, C, Play, near, paper, put, served_at_a_and_c, strikes


def test_contingency_counts_what_spare_capacity_cannot_take(play: Play) -> None:
    done = play(served_at_a_and_c(base_rps=14))
    # 7 requests/s each with a limit of 8: one of the seven finds room elsewhere
    assert done.output.domain_loss[0].tolist() == near([6 / 14, 6 / 14, 0, 6 / 14])
    assert done.state.site_share[0].tolist() == near([0.5, 0, 0.5])
    assert done.terms["exposure"] == near(6 / 14)


def test_what_is_not_yet_warm_is_no_reserve(play: Play) -> None:
    world = served_at_a_and_c(base_rps=6)
    assert play(world).metrics["exposure"] == near(0)
    put(world, C, LOADING, 1)
    assert play(world).output.domain_loss[0].tolist() == near([0.5, 0.5, 0, 0])


def test_contingency_of_the_last_gateway_and_the_last_copy(play: Play) -> None:
    world = served_at_a_and_c(base_rps=2)
    assert play(world).metrics["exposure"] == 0
    world.state.role_ms[0, GATEWAY, C] = -1
    assert play(world).output.domain_loss[0].tolist() == [1, 1, 0, 0]
    alone = paper()
    put(alone, B, WARM)  # store and only copy
    alone.state.role_ms[0, GATEWAY, B] = 0
    assert play(alone).output.domain_loss[0].tolist() == [1, 0, 1, 0]


def test_contingency_of_a_broken_attestation_counts_trusted_spare(play: Play) -> None:
    world = served_at_a_and_c(base_rps=14, verification=TEE, domain_effect=UNTRUSTED)
    assert play(world).terms["exposure"] == near(6 / 14)
    strikes(world, (0, 1, C), UNTRUSTED)
    # nothing trusted is spare outside A; the answers of C do not count as verified in the first place
    assert play(world).output.domain_loss[0].tolist() == near([7 / 14, 7 / 14, 0, 0])
