"""Policies: heuristics, planners and learned ones, their training and their comparison."""

import og_env
