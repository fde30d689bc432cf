"""Answers for people who plan a network: advice for the next operation."""
