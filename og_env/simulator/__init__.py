"""The simulator: batches of episodes in memory, and the calls that begin, step, copy and describe them."""
