"""The dynamics: one step of the network. `step.step` names its parts in the order of real time, `reference` says the same."""
