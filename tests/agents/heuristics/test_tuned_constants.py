"""The shipped files of constants, and what is said of files with a mistake in them."""

import shutil

import pytest

from og_agents.heuristics.tuned_constants import PLANNERS, constants_of, folder, of_heuristics, of_planner
from og_env.scenario import loading


def test_constants_are_within_their_bounds():
    assert {"global-24", "one-cloud", "tee-break"} <= set(of_planner("greedy_tuned").tuned) <= set(loading.names())
    for name in ("greedy_tuned", "spot_hedge"):
        space = of_planner(name)
        for constants in (space.untuned, *space.tuned.values()):
            assert all(space.low[key] <= value <= space.high[key] for key, value in constants.items())
        assert min(space.spread.values()) > 0
    assert constants_of("random-24", "greedy_tuned") == constants_of("global-24", "greedy_tuned")
    assert {tuple(of_planner(name).untuned) for name in PLANNERS} == set(PLANNERS.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "rent = 1.08",
            "rennt = 1.08",
            r"greedy_tuned.toml: tuned.flash-crowd.rennt: unknown key .nearest valid: rent",
        ),
        ("rent = 1.08", "", "greedy_tuned.toml: tuned.flash-crowd.rent: is missing"),
        ("rent = 1.08", 'rent = "much"', "tuned.flash-crowd.rent: must be a finite number, not 'much'"),
        ("rent = 1.08", "rent = true", "tuned.flash-crowd.rent: must be a finite number, not True"),
        ("rent = 1.08", "rent = inf", "tuned.flash-crowd.rent: must be a finite number, not inf"),
        (
            "[tuned.flash-crowd]",
            "[tuned.flash-crowt]",
            "tuned.flash-crowt: unknown scenario .nearest valid: flash-crowd",
        ),
        ("[search.low]", "[search.lowest]", "search.lowest: unknown key .nearest valid: low"),
        ("[untuned]", "[unturned]", "unturned: unknown key .nearest valid: untuned"),
    ],
)
def test_a_mistake_in_a_planner_s_file_is_one_line(tmp_path, old, new, message):
    text = (folder() / "greedy_tuned.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "greedy_tuned.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as raised:
        of_planner("greedy_tuned", tmp_path / "greedy_tuned.toml")
    assert "\n" not in str(raised.value)


def test_a_mistake_in_the_heuristics_file_is_one_line(tmp_path):
    path = tmp_path / "heuristics.toml"
    text = (folder() / "heuristics.toml").read_text(encoding="utf-8")
    for number, (old, new, message) in enumerate(
        (
            ("[greedy]", "[greddy]", "greddy: unknown key .nearest valid: greedy"),
            ("[greedy]\nthreshold", "[greedy]\ntreshold", "greedy.treshold: unknown key .nearest valid: threshold"),
        )
    ):
        assert old in text
        other = path.with_stem(f"{number}")
        other.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            of_heuristics(other)


def test_a_file_of_an_unknown_planner_is_not_passed_over(tmp_path):
    shutil.copytree(folder(), tmp_path, dirs_exist_ok=True)
    shutil.copyfile(tmp_path / "spot_hedge.toml", tmp_path / "spot_hegde.toml")
    with pytest.raises(ValueError, match=r"spot_hegde.toml: unknown planner .nearest valid: spot_hedge"):
        of_planner("spot_hedge", tmp_path / "spot_hedge.toml")
