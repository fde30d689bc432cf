"""The planner inside the environment: every step it offers the operations that promise most.

`offers.propose` is where to begin. Gains are worked out in `expected_gain`, traffic in `expected_flow`.
"""
