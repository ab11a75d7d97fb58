"""What is paid on average, for the cards of the datasets and the catalogue."""

from __future__ import annotations

__all__ = ["CONSTANT", "EPISODES", "WITHOUT_ORACLE", "tasks_of"]

EPISODES = 100
"""Of how many episodes the figures of the constant reply are means."""

WITHOUT_ORACLE = frozenset({"boxnet", "rush_hour"})
"""The datasets that tell no right answer. The oracle of every other one was paid 1.0 on
each of `tasks_of` tasks; nothing, and random texts, were paid 0.0 everywhere."""

_TASKS = 20
_FEWER = {
    "futoshiki": 3,
    "intermediate_integration": 3,
    "knight_swap": 5,
    "polynomial_equations": 18,
    "puzzle24": 3,
    "quantum_lock": 12,
    "rearc": 17,
    "zebra_puzzles": 3,
}


def tasks_of(name: str) -> int:
    """Return on how many tasks the oracle, nothing and random texts were played.

    Measured by `python -m llm_gym.bridges.reasoning_gym.survey --means 20`, which stops
    after five seconds: slow datasets have fewer.
    """
    return _FEWER.get(name, _TASKS)


CONSTANT: dict[str, float] = {
    "basic_arithmetic": 0.01,
    "binary_alternation": 0.02,
    "calendar_arithmetic": 0.08,
    "chain_sum": 0.03,
    "circuit_logic": 0.63,
    "codeio": 0.01,
    "coin_flip": 0.89,
    "complex_arithmetic": 0.01,
    "count_primes": 0.01,
    "course_schedule": 0.58,
    "game_of_life_halting": 1,
    "gcd": 0.17,
    "gsm_symbolic": 0.03,
    "isomorphic_strings": 0.5,
    "knight_swap": 0.22,
    "largest_island": 0.16,
    "letter_counting": 0.34,
    "manipulate_matrix": 0.02,
    "number_sequence": 0.11,
    "polynomial_equations": 0.17,
    "power_function": 0.13,
    "products": 0.03,
    "ransom_note": 0.57,
    "rearc": 0.03,
    "rectangle_count": 0.11,
    "self_reference": 0.1,
    "simple_equations": 0.02,
}
"""The mean reward of the best constant reply by dataset, where it is above 0.

Measured by `python -m llm_gym.bridges.reasoning_gym.survey` with reasoning-gym 0.1.25.
"""
