"""Policies: heuristics, planners and learned ones, their training and their comparison."""

import og_env  # noqa: F401 (says in one line what is not installed)
