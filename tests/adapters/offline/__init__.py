"""Tests of `llm_gym.adapters.offline`."""
