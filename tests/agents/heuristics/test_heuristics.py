"""Rules: the choice of each from offers written by hand, and how the rules behave in the environment."""

import numpy as np
import pytest

from og_agents import heuristics
from og_agents.policy import Policy, wishes
from og_agents.studies import tuning
from og_env.observation.fields import TABLES, column

P, M, N = 6, 2, 10


def observation(offers, models=(), overall=(), rows=1):
    """A batch of equal observations; offers and models are dicts of columns, the rest is 0."""
    shapes = {"globals": (), "models": (M,), "proposals": (P,), "sites": (N,)}
    tables = {table: np.zeros((*shape, len(TABLES[table])), np.float32) for table, shape in shapes.items()}
    for row, values in enumerate(models or ({"share": 0.7}, {"share": 0.3})):
        for name, value in values.items():
            tables["models"][row, column("models", name)] = value
    for row, values in enumerate(offers):
        for name, value in ({"valid": 1} | values).items():
            tables["proposals"][row, column("proposals", name)] = value
    for name, value in dict(overall).items():
        tables["globals"][column("globals", name)] = value
    return {table: np.repeat(values[None], rows, axis=0) for table, values in tables.items()}


def choice(name, batch, **kwargs):
    actions, _ = heuristics.make(name, **kwargs).predict(batch)
    return int(actions[0])


BUSY = (
    {"share": 0.7, "utilisation": 0.9, "served": 1.0, "replicas": 0.3},
    {"share": 0.3, "replicas": 0.2, "served": 1},
)
AMONG_OFFERS = tuple(name for name in heuristics.NAMES if "interface" not in heuristics.RECIPES[name].env_kwargs)
IDLE = (
    {"share": 0.7, "utilisation": 0.2, "served": 1.0, "replicas": 0.3},
    {"share": 0.3, "replicas": 0.2, "served": 1},
)
LAUNCH = {"is_launch": 1, "is_add": 1, "model_share": 0.7}
RETIRE = {"is_retire": 1, "model_share": 0.7}


@pytest.mark.parametrize(("name", "better"), [("offer_autoscaler", {"gain": 0.5}), ("n1_reserve", {"gain": 0.5})])
def test_a_scaler_among_offers_launches_in_its_preferred_place(name, better):
    worse = {"distance": 0.8, "price": 0.8, "ready": 0.8, "site_share": 0.8, "domain_share": 0.8, "gain": -0.3}
    assert choice(name, observation([LAUNCH | worse, LAUNCH | worse | better, LAUNCH | worse], BUSY)) == 2
    assert choice(name, observation([LAUNCH | worse, LAUNCH | worse | better], IDLE)) == 0
    retire = [RETIRE | worse | better, RETIRE | worse]
    assert choice(name, observation(retire, IDLE)) == 2, "the least wanted place goes first"
    assert choice(name, observation(retire, BUSY)) == 0


def test_a_launch_goes_to_the_model_that_is_busy():
    other = LAUNCH | {"model_share": 0.3, "gain": 0.9}
    assert choice("offer_autoscaler", observation([other, LAUNCH | {"gain": 0.1}], BUSY)) == 2


def test_replicas_on_their_way_count():
    coming = ({**BUSY[0], "loading": 0.3}, BUSY[1])
    assert choice("offer_autoscaler", observation([LAUNCH], coming)) == 0


def test_hysteresis_leaves_a_band_in_which_nothing_moves():
    constants = heuristics.make("offer_autoscaler").constants
    moves = {}
    for utilisation in np.linspace(0.05, 0.95, 19):
        models = ({**BUSY[0], "utilisation": utilisation}, BUSY[1])
        moves[utilisation] = choice("offer_autoscaler", observation([LAUNCH, RETIRE], models))
    assert {moves[level] for level in moves if level > constants["high"] + 0.01} == {1}
    quiet = [level for level, move in moves.items() if move == 0]
    assert quiet
    assert max(quiet) - min(quiet) >= 0.1
    # with one replica fewer the load of the rest stays below `low`, so a retirement never calls for a launch
    retired = [level for level, move in moves.items() if move == 2]
    assert retired
    assert max(retired) * 3 / 2 < constants["low"] < constants["high"]


def test_a_model_without_replicas_is_launched_and_the_last_one_stays():
    empty = ({"share": 0.7}, {"share": 0.3, "replicas": 0.2, "served": 1})
    assert choice("offer_autoscaler", observation([LAUNCH], empty)) == 1
    single = ({"share": 0.7, "served": 1, "replicas": 0.1}, BUSY[1])
    assert choice("offer_autoscaler", observation([RETIRE], single)) == 0


def test_a_role_that_gains_goes_first():
    store = {"is_store": 1, "is_add": 1, "gain": 0.4}
    assert choice("offer_autoscaler", observation([LAUNCH, store], BUSY)) == 2
    assert choice("offer_autoscaler", observation([LAUNCH, store | {"gain": -0.4}], BUSY)) == 1


def test_n1_reserve_hedges_while_exposed_and_keeps_hedges():
    hedge = LAUNCH | {"gain": -0.2, "gain_resilience": 0.4}
    calm = observation([hedge], IDLE, {"exposure": 0.05})
    exposed = observation([hedge], IDLE, {"exposure": 0.9})
    assert choice("n1_reserve", calm) == 0
    assert choice("n1_reserve", exposed) == 1
    assert choice("offer_autoscaler", exposed) == 0
    needed = RETIRE | {"gain_resilience": -0.4}
    assert choice("n1_reserve", observation([needed], IDLE)) == 0
    assert choice("offer_autoscaler", observation([needed], IDLE)) == 1


def test_greedy_takes_the_largest_gain_above_its_threshold():
    offers = [{"gain": 0.2}, {"gain": 0.6}, {"gain": 0.5}]
    assert choice("greedy", observation(offers)) == 2
    assert choice("greedy", observation([{"gain": -0.2}])) == 0
    assert choice("greedy", observation(offers), constants={"threshold": 0.7}) == 0
    assert choice("greedy", observation([{"gain": 0.6, "valid": 0}, {"gain": 0.1}])) == 2
    masks = np.array([[True, True, False, True, False, False, False]])
    assert heuristics.make("greedy").predict(observation(offers), action_masks=masks)[0].tolist() == [3]


def test_random_seldom_takes_one_of_the_possible_operations_and_repeats_with_its_seed():
    batch = {table: values for table, values in observation([], rows=90_000).items() if table != "proposals"}
    masks = np.zeros((90_000, 1 + 3 * M * N + 6 * N), bool)
    masks[:, [0, 7, 30]] = True
    policy = heuristics.make("random", seed=3)
    actions, state = policy.predict(batch, action_masks=masks)
    counts = np.bincount(actions, minlength=masks.shape[1])
    assert counts[[0, 7, 30]].sum() == 90_000
    assert abs(counts[[7, 30]] - 90_000 * heuristics.RANDOM_RATE / 3).max() < 5 * np.sqrt(1500)  # 5 sigma of a binomial
    again, _ = heuristics.make("random", seed=3).predict(batch, action_masks=masks)
    assert np.array_equal(again, actions)
    assert not np.array_equal(heuristics.make("random", seed=4).predict(batch, action_masks=masks)[0], actions)
    assert not np.array_equal(policy.predict(batch, state, action_masks=masks)[0], actions)


def test_rows_of_a_batch_do_not_see_each_other():
    busy, idle = observation([LAUNCH, RETIRE], BUSY), observation([LAUNCH, RETIRE], IDLE)
    both = {table: np.concatenate([busy[table], idle[table]]) for table in busy}
    assert heuristics.make("offer_autoscaler").predict(both)[0].tolist() == [1, 2]


@pytest.mark.parametrize("name", AMONG_OFFERS)
def test_one_observation_gives_one_action(name):
    batch = observation([LAUNCH], BUSY)
    single = {table: values[0] for table, values in batch.items()}
    policy = heuristics.make(name)
    assert isinstance(policy, Policy)
    assert np.shape(policy.predict(single)[0]) == ()
    assert policy.predict(batch)[0].shape == (1,)


@pytest.mark.parametrize("name", AMONG_OFFERS)
def test_shapes_of_joint_and_routing(name):
    batch = observation([LAUNCH], BUSY, rows=4)
    joint = heuristics.make(name, task="joint").predict(batch)[0]
    assert joint.shape == (4, 6)
    assert (joint[:, 1:] == 2).all(), "the middle level is the scenario's setting"
    assert np.array_equal(joint[:, 0], heuristics.make(name).predict(batch)[0])
    without_offers = {table: values for table, values in batch.items() if table != "proposals"}
    box = heuristics.make(name, task="routing").predict(without_offers)[0]
    assert (box.shape, box.dtype) == ((4, 5), np.float32)
    assert np.abs(box).max() <= 1
    levels = heuristics.make(name, task="routing", levels=True).predict(without_offers)[0]
    assert levels.shape == (4, 5)
    assert levels.dtype == np.int64


def test_what_a_policy_wishes_of_its_environment():
    assert wishes(heuristics.make("opengradient")).overrides == {"router.spread": 1.0, "router.risk_aversion": 0.0}
    assert wishes(heuristics.make("greedy_blind")) == ({}, {"risk_weight": 0.0})
    assert wishes(heuristics.make("greedy")) == ({}, {})
    assert wishes(heuristics.make("cheapest")) == ({}, {"interface": "operations"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heuristics.make("greedi"), r"unknown heuristic 'greedi' \(nearest valid: greedy\)"),
        (lambda: heuristics.make("greedy", task="routeing"), r"unknown task 'routeing' \(nearest valid: routing\)"),
        (lambda: heuristics.make("greedy", constants={"treshold": 1.0}), "nearest valid: threshold"),
        (lambda: heuristics.make("greedy").predict(np.zeros((1, 200))), "make the environment without flatten"),
        (lambda: heuristics.make("greedy").predict({"globals": np.zeros((1, 3))}), 'interface="proposals"'),
        (lambda: heuristics.make("cheapest").predict(observation([LAUNCH])), 'interface="operations"'),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_coordinate_search_finds_a_joint_optimum():
    grid = {"high": (0.0, 1.0, 2.0, 3.0), "low": (0.0, 1.0, 2.0)}
    asked = []

    def score(constants):
        asked.append(dict(constants))
        return -((constants["high"] - 2) ** 2) - (constants["low"] - constants["high"] / 2) ** 2

    best, trials = tuning.descend(score, grid, {"high": 0.0, "low": 2.0})
    assert best == {"high": 2.0, "low": 1.0}
    assert trials == len(asked) == len({tuple(each.items()) for each in asked})
