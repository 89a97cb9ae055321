"""Proposals: regions drawn from merge trees as pseudo masks, the store of the trees, and composites."""
