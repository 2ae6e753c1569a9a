"""Timing of ops and train steps, as shares of the machine and as ratios: `python -m rnnbench.bench`."""
