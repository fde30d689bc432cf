"""The tape: a pure function of world and seed, with streams that do not disturb one another, and scripted outages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from og_env.kernel.arrays import CALM_SPEED, DOWN, FROZEN, SLOW, UNTRUSTED, Tape
from og_env.kernel.memory import allocate
from og_env.scenario import loading
from og_env.scenario.specs import OpponentSpec, OutageSpec
from og_env.tape.draw import Scripted, TapeWorld, draw, draw_row, tape_world
from og_env.tape.scripted_outages import Scripts
from og_env.world import CompiledWorld, compile_world, sizes_of
from tests.cases.compiled_worlds import compiled
from tests.cases.drawn_tapes import SIGMAS, drawing, episodes, source

CALM, FRAGILE = 32, 159
"""codes of error rates 0 and 1"""
OPPONENT = OpponentSpec(attacks_per_day=40.0)


def blank(world: CompiledWorld, batch: int = 1) -> Tape:
    return allocate(Tape, world.sizes | {"B": batch})


def drawn(world: CompiledWorld, seed: int = 7, outages: tuple[OutageSpec, ...] = ()) -> Tape:
    tape = blank(world)
    draw(tape, 0, seed, tape_world(world), Scripted(outages))
    return tape


def toy(*outages: OutageSpec, **changes: Any) -> Tape:
    """The paper world: 61 rows of a minute, provider P has sites 0 and 1, grid G has 1 and 2; nothing is drawn."""
    return drawn(compiled(failures__outages=outages, **changes))


def rows(tape: Tape, site: int, bit: int = 255) -> list[int]:
    return np.flatnonzero(tape.status[0, :, site] & bit).tolist()


def minutes(domain: str, start: float, length: float, effect: Any = "DOWN") -> OutageSpec:
    return OutageSpec(domain=domain, start_h=start / 60, duration_h=length / 60, effect=effect)


def equal(one: Tape, other: Tape, *names: str) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names or Tape._fields)


def test_a_tape_is_a_pure_function_of_world_and_seed():
    first, second = compiled("global-24"), compiled("global-24")
    assert equal(drawn(first), drawn(second))
    assert not equal(drawn(first), drawn(first, 8), "regional")
    assert not equal(drawn(first), drawn(first, 8), "signal")


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_is_overwritten_whole_and_the_others_are_left_alone(row):
    world = compiled("global-24")
    tape = blank(world, 3)
    for array in tape:
        array[:] = 77
    draw(tape, row, 7, tape_world(world))
    alone = drawn(world)
    for name, array in tape._asdict().items():
        assert np.array_equal(array[row], getattr(alone, name)[0]), name
        assert (np.delete(array, row, axis=0) == 77).all(), name


@pytest.mark.parametrize("seed", [0, 1 << 63, (1 << 64) - 1])
def test_every_seed_of_64_bits_is_good(seed):
    tape = drawn(compiled("global-24"), seed)
    assert np.isfinite(tape.regional).all() and (tape.regional > 0).all()


def test_failures_leave_demand_start_and_opponent_unchanged():
    settings: dict[str, Any] = {"failures__opponent": OPPONENT}
    usual = drawn(compiled("global-24", **settings))
    kept = ("regional", "model", "attack", "start_step")
    assert usual.status.any() and usual.attack.any()
    for process in ("none", "independent"):
        other = drawn(compiled("global-24", **settings, failures__process=process))
        assert equal(usual, other, *kept) and not equal(usual, other, "status")
    assert equal(usual, other, "condition", "noise") and (usual.condition != CALM_SPEED).any()
    calmer = drawn(compiled("global-24", **settings, failures__shocks_per_day=1.0, failures__aftershock=0.0))
    assert equal(usual, calmer, *kept) and not equal(usual, calmer, "status")
    hidden = drawn(compiled("global-24", **settings, failures__hidden=("provider", "grid")))
    assert equal(usual, hidden, *kept, "status") and not equal(usual, hidden, "signal")


def test_demand_and_noise_leave_failures_unchanged():
    usual = drawn(compiled("global-24"))
    for changes in ({"demand__burst_sd": 0.7, "demand__flashes_per_day": 9.0}, {"failures__signal_noise": 0.01}):
        other = drawn(compiled("global-24", **changes))
        assert equal(usual, other, "status", "outages", "start_step")
    assert not equal(usual, other, "signal") and equal(usual, other, "regional", "model")


def test_the_condition_of_sites_leaves_all_else_unchanged():
    usual = drawn(compiled("global-24"))
    others = [name for name in Tape._fields if name != "condition"]
    for changes in ({"drift_sd": 0.0}, {"drift_memory_h": 1.0}, {"grey_per_day": 9.0}, {"blind_per_day": 9.0}):
        other = drawn(compiled("global-24", **{f"condition__{name}": value for name, value in changes.items()}))
        assert equal(usual, other, *others) and not equal(usual, other, "condition")
    off = {"condition__drift_sd": 0.0, "condition__grey_per_day": 0.0, "condition__blind_per_day": 0.0}
    assert (drawn(compiled("global-24", **off)).condition == CALM_SPEED).all()
    assert not equal(drawn(compiled("global-24"), 8), usual, "noise")


def test_without_background_speeds_drift_but_nothing_fails():
    failing = {"condition__grey_per_day": 9.0, "condition__blind_per_day": 9.0}
    calm = drawn(compiled("global-24", condition__grey_per_day=0.0, condition__blind_per_day=0.0))
    world = compiled("global-24", **failing)
    tape = blank(world)
    draw(tape, 0, 7, tape_world(world), Scripted(background=False))
    assert equal(tape, calm, "condition", "noise") and not equal(drawn(world), calm, "condition")


def test_signal_noise_is_the_same_where_failures_differ():
    noisy = {"failures__signal_noise": 0.15}
    calm, broken = toy(**noisy), toy(minutes("provider:P", 10, 20), **noisy)
    differs = (calm.signal != broken.signal)[0]
    usual, quiet = drawn(compiled("global-24")), drawn(compiled("global-24", failures__process="none"))
    assert 0.7 < (usual.signal == quiet.signal).mean() < 1
    assert differs[10:30, 0].any() and not differs[:10].any() and not differs[30:].any() and not differs[:, 1].any()


def test_start_hour():
    for minute in (0, 822, 123, 1439):
        assert toy(episode__start_hour_utc=minute / 60).start_step[0] == minute
    world = tape_world(compiled("global-24"))
    tape = blank(world.compiled)
    starts = []
    for seed in range(2_400):
        draw(
            tape,
            0,
            seed,
            world._replace(drawing=world.drawing._replace(sources=drawing().sources, signal_share=np.zeros(0))),
        )
        starts.append(int(tape.start_step[0]))
    number = np.bincount(np.array(starts) * 24 // 288, minlength=24)
    assert len(number) == 24
    chi_square = ((number - 100) ** 2 / 100).sum()
    assert abs(chi_square - 23) < SIGMAS * np.sqrt(2 * 23)


def test_demand_starts_at_the_start_step():
    world = compiled("global-24", demand__burst_sd=0.0, demand__flashes_per_day=0.0)
    tape = drawn(world)
    curve = world.arrays.diurnal[0]
    assert np.array_equal(tape.regional[0], curve[(int(tape.start_step[0]) + np.arange(289)) % 288])


def test_the_opponents_chances_are_bernoulli():
    world = tape_world(compiled("global-24", failures__opponent=OPPONENT))
    tape = blank(world.compiled, 400)
    for b in range(400):
        draw(tape, b, b, world)
    share, chances = 40 / 288, tape.attack.size
    assert set(np.unique(tape.attack)) == {0, 1}
    assert abs(tape.attack.mean() - share) < SIGMAS * np.sqrt(share * (1 - share) / chances)
    assert not drawn(compiled("global-24")).attack.any()


def test_scripted_outage_hits_every_member_in_the_rows_of_its_time():
    tape = toy(minutes("provider:P", 3, 12))
    assert rows(tape, 0) == rows(tape, 1) == rows(tape, 0, DOWN) == list(range(3, 15))
    assert rows(tape, 2) == []
    assert np.flatnonzero(tape.outages[0]).tolist() == list(range(3, 15)) and tape.outages.max() == 1
    assert np.flatnonzero(tape.signal[0, :, 0] == FRAGILE).tolist() == list(range(3, 15))
    assert (np.delete(tape.signal[0, :, 0], range(3, 15)) == CALM).all() and (tape.signal[0, :, 1] == CALM).all()


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 1, [0]),
        (2.5, 0.1, [2]),
        (2.5, 1, [2, 3]),
        (7, 1e-7, [7]),
        (57, 500, [57, 58, 59, 60]),
        (60.5, 1, [60]),
        (61, 5, []),
        (1e6, 5, []),
    ],
)
def test_scripted_outage_touches_at_least_one_row_and_ends_with_the_episode(start, length, expected):
    assert rows(toy(minutes("site:c", start, length)), 2) == expected


@pytest.mark.parametrize("minute", range(61))
def test_whole_minutes_are_whole_rows(minute):
    assert rows(toy(minutes("site:c", minute, 3)), 2) == list(range(minute, min(minute + 3, 61)))


def test_scripted_outages_overlap():
    tape = toy(minutes("provider:P", 3, 4), minutes("grid:G", 5, 4, "SLOW"), minutes("site:b", 6, 1, "UNTRUSTED"))
    assert tape.status[0, :, 1].tolist()[:10] == [0, 0, 0, DOWN, DOWN, 9, 9 | UNTRUSTED, SLOW, SLOW, 0]
    assert tape.outages[0].tolist()[:10] == [0, 0, 0, 1, 1, 2, 3, 1, 1, 0]


def test_scripted_outage_of_a_domain_that_the_fleet_lacks_is_left_out():
    absent = (minutes("provider:R", 3, 4), minutes("upstream:P", 3, 4))
    tape = drawn(compiled(), outages=(*absent, minutes("site:a", 3, 4)))
    assert rows(tape, 0) == [3, 4, 5, 6] and not rows(tape, 1) and not rows(tape, 2)


@pytest.mark.parametrize("effect", ["DOWN", "FROZEN", "UNTRUSTED", "SLOW"])
def test_a_registry_that_breaks_freezes_first_and_then_takes_down(effect):
    sites = loading.load("toy-3").sites
    assert isinstance(sites, tuple)
    served = tuple(site.model_copy(update={"facilitator": "registry"}) for site in sites)  # type: ignore[union-attr]
    tape = toy(minutes("facilitator:registry", 2, 50, effect), sites=served)
    for site in range(3):
        if effect in ("DOWN", "FROZEN"):
            assert rows(tape, site, FROZEN) == list(range(2, 32)) and rows(tape, site, DOWN) == list(range(32, 52))
        else:
            assert rows(tape, site, UNTRUSTED | SLOW) == list(range(2, 52)) and not rows(tape, site, DOWN | FROZEN)


def test_scripted_outage_of_a_hidden_domain_acts_and_shows_nothing():
    tape = toy(minutes("provider:P", 3, 4), failures__hidden=("provider",), failures__signal_noise=0.3)
    assert rows(tape, 0) == [3, 4, 5, 6]
    assert (tape.signal[0, :, 0] == CALM).all() and (tape.signal[0, :, 1] != CALM).any()


def test_scripted_outages_come_on_top_of_drawn_ones():
    world = compiled("global-24")
    plain, extra = (
        drawn(world),
        drawn(world, outages=(OutageSpec(domain="provider:equinix", start_h=2.0, duration_h=3.0),)),
    )
    members = next(d.members for d in world.all_domains if (d.kind, d.name) == ("provider", "equinix"))
    added = np.zeros_like(plain.status)
    added[0, 24:60, members] = DOWN
    assert np.array_equal(extra.status, plain.status | added)
    assert equal(plain, extra, "regional", "model", "attack", "start_step")
    assert (extra.outages.astype(int) - plain.outages).sum() == 36


def test_outages_of_one_episode_are_not_remembered():
    of = tape_world(compiled(failures__outages=(minutes("site:a", 1, 1),)))
    tape = blank(of.compiled)
    draw(tape, 0, 1, of, Scripted((minutes("site:c", 5, 2),)))
    assert rows(tape, 0) == [1] and rows(tape, 2) == [5, 6]
    draw(tape, 0, 1, of)
    assert rows(tape, 0) == [1] and rows(tape, 2) == []


def test_a_script_shows_in_full_in_the_twins_signal_too():
    parts = [source((site,), rate_per_h=0.2) for site in range(4)]
    one = {"kind": 5, "bit": DOWN, "start_h": 0.0, "stop_h": 9.0, "source": 0, "notice": 0, "shared": 0}
    scripts = Scripts(
        **{name: np.array([value]) for name, value in one.items()},
        member_start=np.array([0, 2]),
        member_site=np.array([1, 3]),
    )
    tape = episodes(20, 100, drawing(*parts), scripts)
    assert (tape.signal[:, :90] == FRAGILE).all() and (tape.status[:, :90, [1, 3]] == DOWN).all()
    assert (tape.signal[:, 90:] < FRAGILE).any()


def test_many_scripts_do_not_overflow_the_count():
    assert toy(*[minutes("site:a", 1, 1)] * 300).outages.max() == 255


def random_fleet(seed: int) -> TapeWorld:
    spec = loading.load("random-24")
    return tape_world(compile_world(loading.resolve(spec, fleet_seed=seed), sizes=sizes_of(spec)))


def test_a_padded_fleet_has_clear_padding():
    for seed in range(3):
        of = random_fleet(seed)
        tape = blank(of.compiled)
        draw(tape, 0, seed, of)
        padding = of.compiled.arrays.domain_size[0, : of.compiled.sizes["S"]] == 0
        assert padding.any() and (tape.signal[0][:, padding] == CALM).all()
        assert not tape.status[0][:, of.compiled.arrays.site_valid[0] == 0].any()
        assert (tape.signal[0][:, ~padding] != CALM).any()
        calm = (tape.condition[0] == CALM_SPEED).all(axis=0)
        assert np.array_equal(calm, of.compiled.arrays.site_valid[0] == 0)


def test_two_threads_draw_what_one_draws():
    of = tape_world(compiled("global-24"))
    alone, together = blank(of.compiled, 16), blank(of.compiled, 16)
    for b in range(16):
        draw(alone, b, b, of)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda b: draw(together, b, b, of), range(16)))
    assert equal(alone, together)


def test_drawing_is_compiled_once_and_gives_up_the_interpreter():
    for world in (tape_world(compiled()), tape_world(compiled("global-24")), random_fleet(1)):
        draw(blank(world.compiled), 0, 1, world)
    draw_row(
        blank(compiled()), 0, np.uint64(1), tape_world(compiled()).drawing._replace(attack_chance=0.5), world.scripts
    )
    assert len(draw_row.signatures) == 1
    assert draw_row.targetoptions["nogil"]


def test_signal_weights_are_shared_by_the_sources_of_a_domain():
    of = tape_world(compiled("global-24", failures__process="independent")).drawing
    for f in range(len(of.visible)):
        mine = of.sources.shared == f
        assert not mine.any() or of.signal_share[mine].sum() == pytest.approx(1)
    assert (of.signal_share[of.sources.shared < 0] == 1).all()
    assert len(drawing(source(), source(shared=-1)).signal_share) == 2


@pytest.mark.parametrize("name", ["opengradient", "tee-break", "flash-crowd", "one-cloud", "grid-blackout"])
def test_tapes_of_shipped_scenarios_are_in_range(name):
    world = compiled(name)
    tape = drawn(world)
    assert np.isfinite(tape.regional).all() and (tape.regional > 0).all()
    assert np.isfinite(tape.model).all() and (tape.model > 0).all()
    assert tape.status.max() < 16 and tape.attack.max() <= 1
    assert 0 <= tape.start_step[0] < world.sizes["Y"]


def test_single_rows_have_the_status_of_the_whole() -> None:
    tape = toy(minutes("provider:P", 3, 10))
    rows_asked = np.arange(tape.status.shape[1])
    assert tape.status[0].any() and np.array_equal(tape.status_at(0, rows_asked), tape.status[0])


def test_sources_of_a_domain_share_its_signal() -> None:
    world = compiled("toy-3", failures__process="independent")
    shares, shared = tape_world(world).drawing.signal_share, world.source_arrays.shared
    assert (shared == 0).sum() == 2
    for domain in np.unique(shared[shared >= 0]):
        assert shares[shared == domain].sum() == pytest.approx(1)
