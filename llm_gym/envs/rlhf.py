"""Letters from notes, scored by a reward model or a judge, within checkable rules.

What can be decided without a judge (facts, figures, length, form) is decided without
one, and comes first: a letter that breaks a rule is worth nothing however it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from llm_gym.env import ToolEnv
from llm_gym.envs._draws import person as draw_person
from llm_gym.envs._draws import pick, some, town
from llm_gym.envs._rlhf_checks import PARTS, broken
from llm_gym.envs._rlhf_facts import ITEMS, RULES, draw
from llm_gym.errors import DefinitionError
from llm_gym.tasks import GeneratedTasks, Task
from llm_gym.trajectory import Score, Trajectory, as_score
from llm_gym.verifiers._instructions_text import words
from llm_gym.verifiers.base import GroupVerifier, Verifier, least_members

__all__ = ["LEVELS", "Requirements", "RlhfEnv", "generate"]

Requirements = Literal["gate", "ignore"]

LEVELS = 4
"""How many levels there are."""

Rng = np.random.Generator

_ITEMS = (3, 4, 6, 8)
_PARAGRAPHS = (0, 2, 3, 3)
_SENTENCE_WORDS = (0, 0, 25, 22)
_OCCASIONS = (
    ("our summer party", "party"),
    ("the book fair", "fair"),
    ("a concert for all ages", "concert"),
    ("the open day", "open day"),
    ("our evening of games", "games"),
    ("the harvest market", "market"),
    ("a benefit dinner", "dinner"),
    ("the school play", "play"),
)
_READERS = ("neighbours", "members", "friends", "parents", "colleagues", "guests")
_SENDERS = ("choir", "library", "garden club", "parish", "theatre", "sports club")
_OPENINGS = (
    "We write to you because of {}, which many hands have helped to prepare.",
    "There is good news: {} is coming closer, and we want you to be there.",
    "It is time to tell you of {}, and we hope that you look forward to it.",
)
_CLOSINGS = (
    "Bring whom you like, and be as curious as you can.",
    "We are glad of each of you who comes and lends a hand.",
    "Thank you for your patience and for all that you have given.",
)


def generate(rng: Rng, level: int) -> Task:
    """Make notes, the rules for a letter, and a letter that follows them.

    Args:
        rng: Where the randomness comes from.
        level: From 0, three notes and few rules, to 3, eight notes and all rules.
    """
    hard = level >= 2
    items = [*ITEMS[:2], *some(rng, ITEMS[2:], _ITEMS[level] - 2)]
    drawn = [(item, *draw(rng, item, hard=hard)) for item in items]
    occasion, topic = pick(rng, _OCCASIONS)
    opening = pick(rng, _OPENINGS).format(occasion)
    told = [opening, *(sentence for *_, sentence in drawn), pick(rng, _CLOSINGS)]
    wanted: dict[str, Any] = {
        "first": f"Dear {pick(rng, _READERS)},",
        "last": f"The {pick(rng, _SENDERS)} of {town(rng)}",
        "facts": [fact for _, _, noted, _ in drawn for fact in noted.told],
        "topic": topic,
        "unsaid": [_secret(rng, drawn)] if level >= 3 else [],
        "paragraphs": _PARAGRAPHS[level],
        "sentence_words": _SENTENCE_WORDS[level],
        "formal": level >= 3,
    }
    letter = _letter(told, wanted)
    wanted["words"] = _bounds(len(words(letter)), level)
    notes = [f"- occasion: {occasion}"]
    notes += [f"- {item.label}: {noted.noted}" for item, _, noted, _ in drawn]
    notes += [
        f"- not to be named: {name}, who pays for it" for name in wanted["unsaid"]
    ]
    forms = [f"- {item.label}: {RULES[kind]}" for item, kind, _, _ in drawn]
    prompt = _PROMPT.format(
        notes="\n".join(some(rng, notes, len(notes))),
        forms="\n".join(forms),
        rules="\n".join(f"- {rule}" for rule in _rules(wanted)),
    )
    return Task(prompt=prompt, data={"requirements": wanted}, answer=letter)


def _secret(rng: Rng, drawn: Sequence[Any]) -> str:
    """Draw a last name that no fact has."""
    facts = " ".join(fact for _, _, noted, _ in drawn for fact in noted.told)
    while True:
        name = draw_person(rng).split()[1]
        if name not in facts and name not in _ORDINARY:
            return name


_ORDINARY = ("Bloom", "Frost", "Gable", "Hale", "Thorn", "Young", "Carver")
"""Names that a letter may say without naming anybody."""


def _bounds(count: int, level: int) -> list[int]:
    """Return the fewest and the most words, in tens around those of a letter."""
    below, above = ((0.6, 1.8), (0.6, 1.7), (0.7, 1.5), (0.8, 1.3))[level]
    return [int(count * below) // 10 * 10, int(count * above) // 10 * 10 + 10]


def _letter(told: Sequence[str], wanted: dict[str, Any]) -> str:
    count = wanted["paragraphs"] or 1
    ends = [round(len(told) * n / count) for n in range(count + 1)]
    blocks = [" ".join(told[a:b]) for a, b in pairwise(ends)]
    return "\n\n".join([wanted["first"], *blocks, wanted["last"]])


def _rules(wanted: dict[str, Any]) -> list[str]:
    low, high = wanted["words"]
    rules = [
        f"The first line is: {wanted['first']}",
        f"The last line is: {wanted['last']}",
        f"{low} to {high} words, first and last line included.",
        "Full sentences: no list, no heading, none twice. At most three facts in one, "
        "with words of your own around and between them.",
        f"It says what the occasion is, with the words: {wanted['topic']}",
        "No figure but those facts, and nothing copied: never seven words in a row.",
    ]
    if wanted["paragraphs"]:
        rules.append(
            f"{wanted['paragraphs']} paragraphs between the first and the last line, "
            "with an empty line between one and the next."
        )
    if wanted["sentence_words"]:
        rules.append(
            f"No sentence of more than {wanted['sentence_words']} words, where a fact "
            "counts as one."
        )
    if wanted["formal"]:
        rules.append("Formal: no exclamation mark, no short form such as we're.")
        rules.append("It names nobody whom the notes say is not to be named.")
    return rules


_PROMPT = """\
Write a short letter, in English, that tells what these notes say.

Notes:
{notes}

Put what the notes say into these forms, to the letter:
{forms}

Rules:
{rules}

Reply with the letter alone."""


class RlhfEnv(ToolEnv):
    """Write a letter from notes, scored by rules, a judge or a reward model.

    Task:
        Generated notes for a letter of invitation: an occasion and three to eight
        facts. The letter must tell each in another form than the notes have it (a date
        in words, a total worked out), in full sentences, within rules of length and
        form. Tasks of one's own (`tasks`) may be any prompts; one without
        `data["requirements"]` has no rules, and needs a scorer.

    Tools:
        None.

    Observation:
        One user message: the notes, the forms of the facts, the rules.

    Reply:
        The letter and nothing else. Blanks and marks that cannot be seen do not matter.

    Reward:
        At the end 1.0 if all requirements hold, else 0.0; parts, 0 or 1 for each:
        `reply` (there is an answer), `facts` (each is told, and the occasion),
        `figures` (no other digit is in it), `unsaid` (the secret is kept), `length`,
        `form` (first and last line, paragraphs), `prose` (sentences that are no list
        and do not repeat themselves), `style` (long sentences, formal), `own_words`
        (nothing copied). They cannot tell good prose from bad, nor whether a fact is
        told of the right thing or denied: for that there are scorers.

        With a `scorer` its score counts, in the part `quality`, if all requirements
        hold; otherwise it is not asked and the reward is 0.0. With
        `requirements="ignore"` its score is the reward, with its own parts. A
        `group_scorer` judges the members of a group that meet the requirements, against
        one another (too few to be compared get 1.0); the others get 0.0. It is what
        rollouts take for `group_verifier` if they are given none; the reward of a step
        is as above. A scorer that fails is a fault, never a reward of 0.0.

    Episode end:
        Terminated by the reply, whatever it is; truncated if it was cut off by its
        length limit or calls a tool.

    Levels:
        0: three notes. 1: four, in two paragraphs. 2: six, of which some are worked
        out (a weekday, an end, a total), in three paragraphs and no long sentence. 3:
        eight, formal, with a secret and close bounds of length.

    Floors:
        oracle 1.000, null 0.000, constant 0.000, random 0.000 (1,000 episodes, seed 0)

    Data and licence:
        Generated; Apache-2.0, as the package.

    Arguments:
        Those of `ToolEnv`, and `scorer`: a `Verifier` such as `JudgeVerifier` or
        `RewardModelVerifier`. `group_scorer`: a `GroupVerifier` such as
        `PairwiseJudge`. `requirements`: whether the rules "gate" what these say, or are
        there to "ignore".

    Version history:
        v0: first version.
    """

    tasks = GeneratedTasks(generate, levels=LEVELS)
    max_turns = 1

    def __init__(
        self,
        *,
        scorer: Verifier | None = None,
        group_scorer: GroupVerifier | None = None,
        requirements: Requirements = "gate",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check(scorer, group_scorer, requirements)
        self.scorer, self.requirements = scorer, requirements
        if group_scorer is not None:
            gate = requirements == "gate"
            self.group_verifier = _Gated(group_scorer) if gate else group_scorer
        if getattr(scorer, "blocking", False):
            vars(self)["blocking"] = True

    def verify(self, trajectory: Trajectory) -> Score:
        """Hold the letter to its requirements, and ask the scorer."""
        if self.scorer is not None and self.requirements == "ignore":
            return as_score(self.scorer.verify(trajectory))
        ruled = "requirements" in trajectory.task.data
        if not ruled and self.scorer is None and self.group_verifier is None:
            raise DefinitionError(
                f"the task {trajectory.task.id!r} has no `data['requirements']`: give "
                "`RlhfEnv` a `scorer` or a `group_scorer` that judges it"
            )
        found = _by_rules(trajectory)
        if self.scorer is None:
            return found
        if not found.value:
            return Score(0.0, {**found.parts, "quality": 0.0}, found.reason)
        score = as_score(self.scorer.verify(trajectory))
        reason = score.reason or "the scorer gave no reason"
        return Score(score.value, {**found.parts, "quality": score.value}, reason)

    def oracle(self) -> str:
        """Return a letter that follows the rules."""
        letter = self.task.answer
        return letter if isinstance(letter, str) else str(super().oracle())


def _check(scorer: object, group_scorer: object, requirements: object) -> None:
    if scorer is not None and not isinstance(scorer, Verifier):
        raise TypeError(f"`scorer` must have a method `verify`, {scorer!r} has none")
    if group_scorer is not None and not isinstance(group_scorer, GroupVerifier):
        raise TypeError(
            f"`group_scorer` must have a method `verify_group`, {group_scorer!r} has "
            "none"
        )
    if requirements not in get_args(Requirements):
        raise ValueError(
            f'`requirements` must be "gate" or "ignore", not {requirements!r}'
        )
    if requirements == "ignore" and scorer is None and group_scorer is None:
        raise ValueError(
            '`requirements="ignore"` needs a `scorer` or a `group_scorer`: without one '
            "the requirements are all that is judged"
        )


def _by_rules(trajectory: Trajectory) -> Score:
    """Return 1 if the requirements hold, else 0; a part for each."""
    text, wanted = trajectory.answer, trajectory.task.data.get("requirements")
    if text is None or not text.strip():
        wrong = dict.fromkeys(PARTS, "there is no answer")
    elif wanted is None:
        wrong = {}
    else:
        prompt = "\n".join(message["content"] for message in trajectory.prompt)
        wrong = broken(text, prompt, wanted)
    parts = {name: float(name not in wrong) for name in PARTS}
    told = "; ".join(f"{names}: {why}" for why, names in _together(wrong).items())
    reason = f"not met: {told}" if wrong else "all requirements are met"
    return Score(float(not wrong), parts, reason)


def _together(wrong: dict[str, str]) -> dict[str, str]:
    """Return the names of the requirements by what is wrong with them."""
    found: dict[str, str] = {}
    for name, why in wrong.items():
        found[why] = f"{found[why]}, {name}" if why in found else name
    return found


class _Gated:
    """Has those members of a group judged that meet the requirements."""

    def __init__(self, scorer: GroupVerifier) -> None:
        self.scorer = scorer
        self.least_members = least_members(scorer)
        self.blocking = bool(getattr(scorer, "blocking", False))

    def verify_group(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Judge a group; who breaks a requirement gets 0."""
        found = [_by_rules(member) for member in trajectories]
        good = [n for n, score in enumerate(found) if score.value]
        if len(good) >= self.least_members:
            judged = list(self.scorer.verify_group([trajectories[n] for n in good]))
        else:
            why = "the requirements are met by too few to be compared"
            judged = [Score(1.0, reason=why)] * len(good)
        for number, score in zip(good, judged, strict=True):
            found[number] = as_score(score)
        return [
            Score(score.value, {"requirements": float(n in good)}, score.reason)
            for n, score in enumerate(found)
        ]
