"""Tests of `llm_gym.verifiers`."""
