"""Rules that take an offer by its place."""

import numpy as np

from og_agents import planners
from og_agents.heuristics import Sight
from og_agents.heuristics.tuned_constants import constants_of
from og_agents.planners.offer_rules import spot_hedge
from og_env.fields import SCARCITY_TABLES, TABLES, column
from og_env.vector_env import NetworkVectorEnv
from tests.cases.planner_worlds import short


def test_a_constant_rank_takes_that_offer_in_every_step():
    env = NetworkVectorEnv(3, "placement", short("global-24"), threads=1)
    observation, _ = env.reset(seed=0)
    for rank in (0, 2):
        actions, _ = planners.make("constant", "global-24", constants={"rank": rank}).predict(observation)
        assert actions.tolist() == [rank] * 3


def test_spot_hedge_takes_spot_and_leaves_regions_where_it_cannot_be_had():
    tables = {name: np.zeros((1, 3, len(TABLES[name])), np.float32) for name in ("proposals", "models")}
    tables["offer_supply"] = np.zeros((1, 3, len(SCARCITY_TABLES["offer_supply"])), np.float32)
    tables["sites"] = np.zeros((1, 3, len(TABLES["sites"])), np.float32)
    tables["proposals"][..., column("proposals", "is_launch")] = 1
    constants = constants_of("global-24", "spot_hedge") | {"avoid": 2.0}
    plain = spot_hedge(Sight({name: tables[name] for name in tables if name != "offer_supply"}), constants)
    assert len(set(plain[0])) == 1
    tables["offer_supply"][0, 1:, column("offer_supply", "spot")] = 1
    tables["offer_supply"][0, 2, column("offer_supply", "region")] = 1
    demand, spot, shut = spot_hedge(Sight(tables), constants)[0] - plain[0]
    assert (demand, spot, shut) == (0, 1, -1)
