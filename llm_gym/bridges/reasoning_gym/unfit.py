"""The datasets that should not be trained on, and the probe that breaks each."""

from __future__ import annotations

__all__ = ["UNFIT", "UnfitTaskWarning"]


class UnfitTaskWarning(UserWarning):
    """A dataset is made whose verifier pays for what is no answer, or cannot work."""


_QUESTION = (
    "another question in another process: it depends on Python's hash seed "
    "(`new_process`)"
)
_ANSWER = (
    "another right answer in another process: it depends on Python's hash seed "
    "(`new_process`)"
)

_NOT = "pays for `not` before the right answer (`negated`)"
_OR = "pays for the right answer `or` a wrong one (`hedged`)"

UNFIT: dict[str, str] = {
    "advanced_geometry": "pays for the right answer and more after a comma (`hedged`)",
    "boxnet": "tells no right answer (`oracle`)",
    "codeio": "another item in another process, one time in 200: by Python's hash "
    "seed; and it runs programs in this process, one of which writes a file",
    "coin_flip": "pays for giant numbers such as `999...999` (`constants`), and "
    "for one constant answer on nine in ten tasks",
    "complex_arithmetic": "pays for `nan` (`constants`)",
    "fraction_simplification": "pays for the right answer and `is wrong` after it "
    "(`negated`)",
    "game_of_life_halting": "pays for any text, such as `correct` (`injections`)",
    "gsm_symbolic": "pays for `not 500` where 500 is right (`negated`)",
    "intermediate_integration": _OR,
    "isomorphic_strings": _QUESTION,
    "kakurasu": _NOT,
    "knight_swap": _ANSWER,
    "knights_knaves": _NOT,
    "letter_jumble": "pays for the right answer and `is wrong` after it (`negated`)",
    "polynomial_equations": "pays for the right answer and more after a comma "
    "(`hedged`)",
    "polynomial_multiplication": _QUESTION,
    "propositional_logic": "pays for a premise that is repeated (`all options`)",
    "puzzle24": "pays for 24 made of other numbers (`another task's answer`)",
    "quantum_lock": "reads any text for buttons, and pays for `all of the above` "
    "(`all options`)",
    "ransom_note": _QUESTION,
    "rush_hour": "tells no right answer (`oracle`)",
    "simple_integration": _OR,
    "sokoban": _NOT,
    "survo": _NOT,
    "time_intervals": "pays for the right answer and more after a comma (`hedged`)",
    "word_ladder": _ANSWER,
    "word_sorting": "pays for the right answer and a word more after a comma "
    "(`hedged`)",
}
"""Why a dataset is unfit for training, by its name.

Found by `python -m llm_gym.bridges.reasoning_gym.survey` with reasoning-gym 0.1.25.
"""
