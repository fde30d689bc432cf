"""Trained policies that come with the package, and the recipes of their training."""
