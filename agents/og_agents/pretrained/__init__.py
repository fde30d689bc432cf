"""Trained policies that come with the package, the recipes of their training, and the record of their gains."""
