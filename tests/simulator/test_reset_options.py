"""The options that reset understands besides a seed, and the same words for the same mistake in a scenario file."""

from __future__ import annotations

import re

import numpy as np
import pytest

from og_env.env import NetworkEnv
from og_env.kernel.arrays import DOWN, FROZEN
from og_env.scenario import loading
from og_env.scenario.specs import OutageSpec
from og_env.vector_env import NetworkVectorEnv

OUTAGE = {"domain": "provider:P", "start_h": 0.1, "duration_h": 0.2, "effect": "FROZEN"}


@pytest.fixture(scope="module")
def env() -> NetworkEnv:
    return NetworkEnv("placement", "toy-3")


@pytest.mark.parametrize("outage", [OUTAGE, OutageSpec(**OUTAGE)])  # pyright: ignore[reportArgumentType]
def test_outages_by_tables_or_specs_are_those_of_a_scenario_file(env, outage):
    env.reset(seed=1, options={"outages": [outage]})
    written = NetworkEnv("placement", loading.override(loading.load("toy-3"), {"failures.outages": (OUTAGE,)}))
    written.reset(seed=1)
    status = env.simulator.tape.status
    assert np.array_equal(status, written.simulator.tape.status)
    assert (status[0, 6:18, :2] == FROZEN).all() and (status != 0).sum() == 24


def test_whole_hours_need_no_decimal_point(env):
    env.reset(options={"outages": [{"domain": "site:c", "start_h": 0, "duration_h": 4}]})
    assert (env.simulator.tape.status[0, :, 2] == DOWN).all()


def test_a_file_takes_the_same_outages(tmp_path):
    text = (loading.scenarios_folder() / "toy-3.toml").read_text(encoding="utf-8")
    line = 'outages = [{ domain = "provider:P", start_h = 6, duration_h = 4, effect = "FROZEN" }]'
    path = tmp_path / "own.toml"
    path.write_text(text.replace('process = "none"', f'process = "none"\n{line}'), encoding="utf-8")
    [outage] = loading.load(path).failures.outages
    assert (outage.domain, outage.start_h, outage.effect) == ("provider:P", 6, "FROZEN")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": "provider:Z"}, "outages[0].domain: unknown provider of this fleet 'Z' (valid: P, Q)"),
        ({"domain": "providr:P"}, "outages[0].domain: unknown kind of domain 'providr' (nearest valid: provider)"),
        ({"domain": "provider"}, "outages[0].domain: 'provider' is not KIND:NAME (nearest valid: provider)"),
        ({"effect": "FROZN"}, "outages[0].effect: 'FROZN' is not valid (nearest valid: FROZEN)"),
        ({"start_h": -1}, "outages[0].start_h: must be >= 0, not -1"),
        ({"duration_h": "4"}, "outages[0].duration_h: must be a number, not '4'"),
        ({"hours": 4}, "outages[0].hours: unknown key"),
    ],
)
def test_a_wrong_outage_is_one_line_in_options_and_in_files(env, change, message):
    wrong = OUTAGE | change
    with pytest.raises(ValueError, match=f"^{re.escape(f'options.{message}')}") as by_options:
        env.reset(options={"outages": [wrong]})
    with pytest.raises(ValueError, match=f"^{re.escape(f'scenario: failures.{message}')}") as by_scenario:
        loading.override(loading.load("toy-3"), {"failures.outages": (wrong,)})
    assert "\n" not in str(by_options.value) + str(by_scenario.value)


def test_an_unknown_domain_is_found_where_fleets_are_random_too():
    batch = NetworkVectorEnv(2, "placement", "random-24")
    with pytest.raises(ValueError, match="unknown provider of this fleet 'awz'"):
        batch.reset(options={"outages": [{"domain": "provider:awz", "start_h": 1, "duration_h": 1}]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outagez": []}, "reset option 'outagez' is unknown (nearest valid: outages)"),
        ({"outages": 5}, "options.outages: must be a list of outages, not 5"),
        ({"outages": "provider:P"}, "options.outages: must be a list of outages, not 'provider:P'"),
        ({"outages": ["provider:P"]}, "options.outages[0]: must be a table, not 'provider:P'"),
        ({"incident": "aws-2025-10-21"}, "options.incident: unknown incident 'aws-2025-10-21' (nearest valid: aws-"),
        ({"incident": 7}, "options.incident: unknown incident 7"),
        ({"background": "no"}, "options.background: must be True or False, not 'no'"),
        ({"start_hour_utc": 24}, "options.start_hour_utc: must be a number from 0 to less than 24, not 24"),
        ({"start_hour_utc": True}, "options.start_hour_utc: must be a number from 0 to less than 24, not True"),
        (
            {"start_hour_utc": 3, "incident": "redsea-2025-09-06"},
            "options.start_hour_utc: redsea-2025-09-06 has its own hour; leave one of them out",
        ),
    ],
)
def test_bad_options_are_one_line(env, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as error:
        env.reset(options=options)
    assert "\n" not in str(error.value)


def test_a_start_hour_moves_the_clock_and_nothing_else():
    plain, moved = (NetworkEnv("placement", "global-16") for _ in range(2))
    plain.reset(seed=4)
    moved.reset(seed=4, options={"start_hour_utc": 13.5})
    a, b = plain.simulator.tape, moved.simulator.tape
    assert b.start_step[0] == 162 and a.start_step[0] != 162
    for name in ("model", "status", "signal", "attack", "outages"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    moved.reset(seed=4)
    assert moved.simulator.tape.start_step == a.start_step


def test_without_the_background_nothing_breaks():
    spec = loading.override(loading.load("provider-blackout"), {"failures.process": "correlated"})
    env = NetworkEnv("placement", spec)
    env.reset(seed=2, options={"background": False})
    assert not env.simulator.tape.status.any() and not env.simulator.tape.outages.any()
    env.reset(seed=2)
    assert env.simulator.tape.status.any()
