"""The dynamics: one step of the network, in the order of real time."""
