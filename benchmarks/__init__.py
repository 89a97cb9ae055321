"""Benchmarks: what things cost, and what they reach where that takes long. `python -m benchmarks` runs them."""
