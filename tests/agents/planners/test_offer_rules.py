"""Rules that take an offer by its place."""

from og_agents import planners
from og_env.vector_env import NetworkVectorEnv
from tests.cases.planner_worlds import short


def test_a_constant_rank_takes_that_offer_in_every_step():
    env = NetworkVectorEnv(3, "placement", short("global-24"), threads=1)
    observation, _ = env.reset(seed=0)
    for rank in (0, 2):
        actions, _ = planners.make("constant", "global-24", constants={"rank": rank}).predict(observation)
        assert actions.tolist() == [rank] * 3
