"""Scenarios: what a file may say, the catalogue of facts, and how both become a concrete fleet."""
