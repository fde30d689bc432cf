"""Replay: recorded incidents and other episodes, as tables, pages and moving pictures."""
