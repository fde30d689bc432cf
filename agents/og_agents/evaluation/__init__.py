"""Evaluation: playing held-out episodes, statistics, comparison and reports."""
