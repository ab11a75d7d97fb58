"""The table of environments: names, no imports."""

from __future__ import annotations

import gymnasium as gym

__all__ = ["BRIDGED", "ENVIRONMENTS", "EXTRAS", "register_all"]

ENVIRONMENTS: dict[str, str] = {
    "llmgym/SingleTool-v0": "llm_gym.envs.single_tool:SingleToolEnv",
    "llmgym/MultiStep-v0": "llm_gym.envs.multi_step:MultiStepEnv",
    "llmgym/SessionState-v0": "llm_gym.envs.session_state:SessionStateEnv",
    "llmgym/MultiTurn-v0": "llm_gym.envs.multi_turn:MultiTurnEnv",
    "llmgym/MultipleChoice-v0": "llm_gym.envs.multiple_choice:MultipleChoiceEnv",
    "llmgym/StructuredOutput-v0": "llm_gym.envs.structured_output:StructuredOutputEnv",
    "llmgym/Math-v0": "llm_gym.envs.math:MathEnv",
    "llmgym/PythonTool-v0": "llm_gym.envs.python_tool:PythonToolEnv",
    "llmgym/CodeContest-v0": "llm_gym.envs.code_contest:CodeContestEnv",
    "llmgym/CodeRepair-v0": "llm_gym.envs.code_repair:CodeRepairEnv",
    "llmgym/Sql-v0": "llm_gym.envs.sql:SqlEnv",
    "llmgym/CustomerService-v0": "llm_gym.envs.customer_service:CustomerServiceEnv",
    "llmgym/Rlhf-v0": "llm_gym.envs.rlhf:RlhfEnv",
}
"""Entry points by id; the class behind one is imported when it is made."""

_DATASETS = """
ab acre advanced_geometry aiw arc_1d arc_agi base_conversion basic_arithmetic bf
binary_alternation binary_matrix bitwise_arithmetic boxnet caesar_cipher
calendar_arithmetic chain_sum circuit_logic codeio coin_flip color_cube_rotation
complex_arithmetic count_bits count_primes countdown course_schedule cryptarithm
decimal_arithmetic decimal_chain_sum dice emoji_mystery family_relationships
figlet_font fraction_simplification futoshiki game_of_life game_of_life_halting
gcd graph_color group_anagrams gsm_symbolic intermediate_integration
isomorphic_strings jugs kakurasu knight_swap knights_knaves largest_island lcm
leg_counting letter_counting letter_jumble list_functions mahjong_puzzle
manipulate_matrix maze mini_sudoku modulo_grid n_queens needle_haystack
number_filtering number_format number_sequence number_sorting
palindrome_generation palindrome_partitioning path_star polynomial_equations
polynomial_multiplication pool_matrix power_function prime_factorization
products propositional_logic puzzle24 quantum_lock ransom_note rearc
rectangle_count rotate_matrix rotten_oranges rubiks_cube rush_hour
self_reference sentence_reordering shortest_path simple_equations
simple_geometry simple_integration sokoban spell_backward spiral_matrix
string_insertion string_manipulation string_splitting string_synthesis sudoku
survo syllogism time_intervals tower_of_hanoi tsumego word_ladder
word_sequence_reversal word_sorting zebra_puzzles
"""

BRIDGED: dict[str, str] = {
    f"llmgym/reasoning_gym.{name}-v0": name for name in _DATASETS.split()
}
"""The dataset of reasoning-gym 0.1.25 behind each id of the bridge to it."""

EXTRAS: dict[str, str] = {"llmgym/Math-v0": "math"}
"""The extra that an environment needs, by id; the others need none."""

EXTRAS.update(dict.fromkeys(BRIDGED, "reasoning-gym"))


def register_all() -> None:
    """Register every environment with Gymnasium; ids that it knows are left alone."""
    bridge = "llm_gym.bridges.reasoning_gym.env"
    bridged = {env_id: f"{bridge}:{name}" for env_id, name in BRIDGED.items()}
    for env_id, entry_point in (ENVIRONMENTS | bridged).items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=entry_point,
                vector_entry_point=f"llm_gym.vector:{env_id}",
            )
