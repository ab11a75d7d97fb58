"""Tiny models that learn: `make learn` and what it is made of."""
