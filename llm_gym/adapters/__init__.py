"""Trainers: each gets from an environment id what it expects."""
