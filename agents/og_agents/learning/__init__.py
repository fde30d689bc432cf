"""Learning: PPO and rollout policy iteration, their networks, rewards, settings and checkpoints."""
