"""Studies: ablations, tuning, robustness, learning curves and fronts of weights."""
