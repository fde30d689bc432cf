"""Clusters: evaluation on Ray and training by RLlib."""
