"""The arguments of the environments: written once, and wrong ones are told in one line."""

from __future__ import annotations

from typing import Any

import pytest

from og_env.env import NetworkEnv
from og_env.simulator import Arguments, Settings, checked
from og_env.vector_env import NetworkVectorEnv


def test_arguments_are_the_settings_beside_the_task() -> None:
    assert set(Arguments.__annotations__) == set(Settings._fields) - {"task"}


@pytest.mark.parametrize("environment", [NetworkEnv, NetworkVectorEnv])
def test_an_unknown_argument_is_told_as_python_does(environment: Any) -> None:
    line = rf"^{environment.__name__}\.__init__\(\) got an unexpected keyword argument 'interfce'$"
    with pytest.raises(TypeError, match=line):
        environment(interfce="operations")
    with pytest.raises(TypeError, match="multiple values for argument 'task'"):
        environment(*([1] if environment is NetworkVectorEnv else []), "placement", task="joint")


def test_the_interface_is_the_tasks_own_where_none_is_given() -> None:
    for task, interface in (("placement", "proposals"), ("routing", "knobs"), ("joint", "proposals")):
        assert checked(Settings(task)).interface == interface  # type: ignore[arg-type]
    for ignored in ("proposals", "operations"):  # by Routing, since before it had interfaces
        assert checked(Settings("routing", ignored)).interface == "knobs"  # type: ignore[arg-type]


@pytest.mark.parametrize("environment", [NetworkEnv, NetworkVectorEnv])
@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ({"task": "serving"}, "task is 'serving'; valid are placement, routing, joint"),
        ({"knobs": "dial"}, "knobs is 'dial'; valid are box, levels"),
        ({"reward": "both"}, "reward is 'both'; valid are scalar, vector"),
        ({"interface": "offers"}, "interface is 'offers'; valid are proposals, operations, knobs, sites"),
        ({"interface": "sites"}, "interface is 'sites'; placement takes proposals, operations"),
        ({"task": "joint", "interface": "knobs"}, "interface is 'knobs'; joint takes proposals, operations"),
        ({"steering": "domain"}, "steering is 'domain'; valid are knobs, sites, domains"),
        ({"steering": "sites"}, "steering is 'sites', an argument of joint; in placement the router is fixed"),
        (
            {"task": "routing", "steering": "domains"},
            "steering is 'domains', an argument of joint; in routing take interface=.sites.",
        ),
        ({"levels": 4}, "levels is 4; it must be odd, for the middle one is the scenario's own"),
        ({"levels": 257}, "levels is 257; valid are 3 to 255, whole numbers"),
        ({"risk_weight": float("nan")}, "risk_weight is nan; valid are 0 to 1,000,000"),
    ],
)
def test_a_wrong_argument_names_the_valid_ones(environment: Any, argument: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}$"):
        environment(**argument)
