"""The tape: all randomness of an episode, drawn at reset."""
