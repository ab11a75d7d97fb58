"""Rollouts: running episodes, keeping their records, summing them up."""
