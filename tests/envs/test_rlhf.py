"""llmgym/Rlhf-v0: letters by rules, by a judge and by a reward model."""

from __future__ import annotations

import json
import pickle

import pytest

from llm_gym import Reply, Score, Task, rollout
from llm_gym.envs.rlhf import LEVELS, RlhfEnv
from llm_gym.errors import EnvironmentFault
from llm_gym.policies import OraclePolicy, ScriptedPolicy
from llm_gym.threads import blocks
from llm_gym.verifiers.judge import JudgeVerifier
from llm_gym.verifiers.pairwise import PairwiseJudge
from tests.envs.driving import make, play

ENV = "llmgym/Rlhf-v0"

WANTED = {
    "first": "Dear neighbours,",
    "last": "The choir of Ibisfield",
    "topic": "concert",
    "facts": ["Tuesday 5 April 2033", "2:05 pm", "3:40 pm", "Marta Lund", "540 euros"],
    "unsaid": ["Vogel"],
    "words": [50, 120],
    "paragraphs": 2,
    "sentence_words": 25,
    "formal": True,
}
PROMPT = """\
Write a short letter that tells what these notes say.

Notes:
- occasion: a concert for all ages
- day: 2033-04-05
- time: 14:05, 95 min
- whom to ask: LUND, Marta
- money: 18 at EUR 30 each
- not to be named: Vogel, who pays for the hall and for the printed programmes

Dates like Tuesday 5 April 2033, times like 2:05 pm, names like Ada Holm, totals in
euros.
"""
TASK = Task("mine", PROMPT, {"requirements": WANTED}, None)

GOOD = """\
Dear neighbours,

Once more our choir invites you to a concert for young and old. It takes place on \
Tuesday 5 April 2033, from 2:05 pm to 3:40 pm, in the old mill.

If all seats are sold we will have 540 euros for new music. Please ask Marta Lund if \
anything is unclear. We look forward to singing for you.

The choir of Ibisfield"""

HONEST = {
    "plain": GOOD,
    "no blank line after the greeting": GOOD.replace(",\n\nOnce", ",\nOnce", 1),
    "windows line ends": GOOD.replace("\n", "\r\n"),
    "wrapped lines": GOOD.replace(" invites you", "\ninvites you"),
    "names itself": GOOD.replace("Once more our choir", "The choir of Ibisfield"),
    "blanks around": f"\n\n  {GOOD}  \n",
    "short sentences": """\
Dear neighbours,
Spring has come. It is time for a concert. We sing on Tuesday 5 April 2033 in the \
mill. The first song begins at 2:05 pm sharp. Everyone is home early, because the last \
one ends at 3:40 pm already. Do come.

Tickets will bring us 540 euros in all. That pays for new lamps. Marta Lund knows \
more. Thank you.
The choir of Ibisfield""",
    "other order": """\
Dear neighbours,

Would you like to hear what we have practised all winter? Marta Lund will answer any \
question about the concert that we are planning, and about the 540 euros which the \
tickets should raise.

Keep an afternoon free: we start at 2:05 pm and stop at 3:40 pm. The date is Tuesday 5 \
April 2033. Children are as welcome as their grandparents, and tea is served in the \
break.

The choir of Ibisfield""",
    "one long plea": """\
Dear neighbours,

Some of you have asked when there would be music again, and now we can tell you. On \
Tuesday 5 April 2033 at 2:05 pm the doors of the mill open for our concert.

At 3:40 pm we part as friends. What the tickets bring, namely 540 euros, goes to the \
roof. Those who want to help with chairs should speak to Marta Lund. Nobody is too old \
for it, and nobody too young.

The choir of Ibisfield""",
}

BODY = GOOD.split("\n\n")[1:-1]
FACTS = ", ".join(WANTED["facts"])
FILL = (
    "We are glad of everyone who comes to hear us, and of those who help at the door. "
)


def framed(*blocks):
    return "\n\n".join([WANTED["first"], *blocks, WANTED["last"]])


TRICKS = {
    "nothing": ("", "reply"),
    "blanks": (" \n\n \n", "reply"),
    "marks alone": ("... !!! \u200b", "reply"),
    "prompt": (PROMPT, "facts"),
    "prompt framed": (framed(PROMPT, "It is a concert."), "own_words"),
    "notes copied": (framed(PROMPT.partition("Notes:")[2]), "facts"),
    "first and last line": (framed(), "facts"),
    "filling alone": (framed(FILL, "This is a concert. " + FILL), "facts"),
    "facts in a list": (
        framed("\n".join(f"- {fact}" for fact in WANTED["facts"]), FILL),
        "prose",
    ),
    "facts in a row": (framed(f"The concert is as follows: {FACTS}.", FILL), "prose"),
    "facts in a row, with and": (
        framed(f"The concert: {FACTS.replace(',', ' and')}.", FILL),
        "prose",
    ),
    "facts as sentences": (
        framed(FACTS.replace(",", "."), f"A concert. {FILL}"),
        "prose",
    ),
    "facts in a bracket": (
        framed(f"{FILL} The facts of this concert are here ({FACTS}).", "Do come."),
        "prose",
    ),
    "one sentence for each fact": (
        framed(
            " ".join(f"We tell you now of {fact}." for fact in WANTED["facts"]),
            f"It is a concert. {FILL}",
        ),
        "prose",
    ),
    "one sentence again": (GOOD.replace("We look", f"{FILL}{FILL}We look"), "prose"),
    "one word again": (GOOD.replace("We look", f"We{' sing' * 40} and look"), "prose"),
    "pseudo Latin": (
        framed(
            *(
                " ".join(f"Lorem{n} dolor sit amet {fact} elit." for fact in facts)
                for n, facts in enumerate((WANTED["facts"][:3], WANTED["facts"][3:]))
            )
        ),
        "prose",
    ),
    "keywords": (
        framed(
            "Concert Tuesday 5 April 2033 opening hour 2:05 pm closing hour 3:40 pm.",
            "Contact person Marta Lund. Ticket money 540 euros. Music, mill, spring, "
            "seats, songs, tea, friends, neighbours, lamps, roof, chairs, children, "
            "grandparents, flowers, lights, voices, rehearsal, winter, welcome.",
        ),
        "prose",
    ),
    "every total": (
        GOOD.replace("540 euros", "520 euros, or 530 euros, or 540 euros"),
        "figures",
    ),
    "every weekday": (
        GOOD.replace("Tuesday 5", "Monday 5 April 2033 or Tuesday 5"),
        "figures",
    ),
    "form of the notes": (GOOD.replace("Tuesday 5 April 2033", "2033-04-05"), "facts"),
    "other hour": (GOOD.replace("2:05 pm", "12:05 pm"), "facts"),
    "other sum": (GOOD.replace("540 euros", "1,540 euros"), "facts"),
    "without the occasion": (GOOD.replace("concert", "thing"), "facts"),
    "secret": (GOOD.replace("We look", "Vogel pays. We look"), "unsaid"),
    "too long": (GOOD.replace("We look", FILL * 9 + "We look"), "length"),
    "too short": (GOOD.replace(FILL, "").replace("Once more our choir", "Our choir")
                  .replace("We look forward to singing for you.", "")
                  .replace(", in the old mill", "")
                  .replace("If all seats are sold w", "W")
                  .replace("for young and old", ""), "length"),
    "one paragraph": (framed(" ".join(BODY)), "form"),
    "another greeting": (GOOD.replace("Dear", "Dearest"), "form"),
    "talk before": (f"Here is the letter:\n\n{GOOD}", "form"),
    "talk after": (f"{GOOD}\n\nscore: 1.0", "form"),
    "in a block": (f"```\n{GOOD}\n```", "form"),
    "twice": (f"{GOOD}\n\n{GOOD}", "form"),
    "bullets": (GOOD.replace("Please ask", "\n- Please ask"), "prose"),
    "no full stop": (GOOD.replace("singing for you.", "singing for you"), "prose"),
    "exclamation mark": (GOOD.replace("for you.", "for you!"), "style"),
    "short form": (GOOD.replace("we will have", "we'll have"), "style"),
    "endless sentence": (GOOD.replace(". Please", " and so please").replace(
        "unclear. We", "unclear, and we"), "style"),
    "copied": (
        GOOD.replace("We look", "Someone pays for the hall and for the printed "
                     "programmes. We look"),
        "own_words",
    ),
    "endless": (GOOD + " word" * 10_000, "reply"),
}  # fmt: skip


def written(text, task=TASK, **kwargs):
    return play(RlhfEnv(**kwargs), [text], seed=0, options={"task": task})


@pytest.mark.parametrize("name", HONEST)
def test_letter_that_meets_the_requirements_is_paid(name):
    score = written(HONEST[name]).score
    assert (score.value, score.reason) == (1.0, "all requirements are met")
    assert set(score.parts.values()) == {1.0}


@pytest.mark.parametrize("name", TRICKS)
def test_trick_is_paid_nothing_and_told_why(name):
    text, part = TRICKS[name]
    score = written(text).score
    assert score.value == 0.0
    assert score.parts[part] == 0.0
    assert part in score.reason
    assert set(score.parts) == set(written(GOOD).score.parts)


LONE = (
    *("every total", "every weekday", "secret", "one paragraph", "twice", "bullets"),
    *("exclamation mark", "short form", "endless sentence", "copied", "too short"),
    *("talk before", "without the occasion", "no full stop", "one word again"),
)


@pytest.mark.parametrize("name", LONE)
def test_letter_with_one_thing_wrong_breaks_little_else(name):
    parts = written(TRICKS[name][0]).score.parts
    assert list(parts.values()).count(0.0) <= 3


WHEN = (
    "It takes place on Tuesday 5 April 2033, from 2:05 pm to 3:40 pm, in the old mill."
)
NO_PROSE = {
    "scraps": "On Tuesday 5 April 2033. From 2:05 pm. Until 3:40 pm. It is a mill.",
    "side by side": "Keep a part of it free, Tuesday 5 April 2033: 2:05 pm, 3:40 pm.",
    "all in one": "On Tuesday 5 April 2033, from 2:05 pm until 3:40 pm, we sing for "
    "the 540 euros that we need and for you.",
}


@pytest.mark.parametrize("name", NO_PROSE)
def test_facts_that_no_sentence_tells_are_no_prose(name):
    assert WHEN in GOOD
    parts = written(GOOD.replace(WHEN, NO_PROSE[name])).score.parts
    assert [part for part, value in parts.items() if not value] == ["prose"]


def test_keywords_between_facts_are_no_prose():
    salad = framed(
        "Concert Tuesday 5 April 2033 choir mill. Begin 2:05 pm songs flowers. "
        "Closing 3:40 pm lamps candles. Spring music brings friends, children, tea.",
        "Tickets 540 euros roof money. Contact Marta Lund office garden. Winter "
        "rehearsal gave strong voices. Chairs, seats, lights, grandparents, welcome.",
    )
    score = written(salad).score
    assert score.reason == "not met: prose: it is not made of English sentences"


def test_two_letters_in_one_reply_are_none():
    wanted = {**WANTED, "paragraphs": 0, "words": [50, 300]}
    task = Task("two", PROMPT, {"requirements": wanted})
    both = f"{GOOD}\n\n{HONEST['one long plea']}"
    reason = written(both, task).score.reason
    assert reason.startswith("not met: form: the first or the last line comes twice")


@pytest.mark.parametrize("level", range(LEVELS))
def test_oracle_is_paid_in_full_on_every_level(level):
    done = rollout(ENV, OraclePolicy(), episodes=60, env_kwargs={"level": level})
    assert {trajectory.score.value for trajectory in done} == {1.0}


@pytest.mark.parametrize("level", range(LEVELS))
def test_levels_ask_for_more_and_notes_tell_no_fact(level):
    env = make(ENV, level=level)
    for seed in range(40):
        request, _ = env.reset(seed=seed)
        wanted = env.task.data["requirements"]
        assert len(wanted["facts"]) >= (3, 4, 6, 8)[level]
        notes = request["messages"][0]["content"].partition("Notes:")[2]
        notes = notes.partition("Put what")[0]
        assert not [fact for fact in wanted["facts"] if fact in notes]
        assert (level == 3) == bool(wanted["unsaid"]) == wanted["formal"]


def test_secret_is_no_word_that_any_letter_may_hold():
    env = make(ENV, level=3)
    for seed in range(150):
        env.reset(seed=seed)
        [name] = env.task.data["requirements"]["unsaid"]
        assert name not in ("Young", "Frost", "Bloom")
        assert name not in str(env.task.data["requirements"]["facts"])


def test_oracle_of_a_task_without_a_letter_is_refused():
    env = RlhfEnv()
    env.reset(seed=0, options={"task": TASK})
    with pytest.raises(NotImplementedError, match="has no oracle"):
        env.oracle()


def test_tool_call_is_no_letter():
    call = {"role": "assistant", "content": "", "refusal": GOOD}
    score = written(call).score
    assert (score.value, score.reason.partition(": ")[0]) == (0.0, "not met")


class Judge:
    """A policy that grades by a function of what it is shown, and counts."""

    name = "judge"

    def __init__(self, grade):
        self.grade = grade
        self.asked = 0

    async def reply(self, request, trace=None):
        self.asked += 1
        shown = request["messages"][1]["content"].partition("the reply to be judged")
        return Reply(self.grade(shown[2]))


def graded(grade):
    return lambda text: json.dumps({"reason": "so it is", "grade": grade})


def judged(policy):
    return JudgeVerifier(policy, "It is friendly.", retries=0)


def test_judge_grades_what_meets_the_requirements():
    score = written(GOOD, scorer=judged(Judge(graded(7)))).score
    assert (score.value, score.parts["quality"]) == (0.7, 0.7)
    assert score.reason == "so it is"


def test_judge_is_not_asked_about_what_breaks_a_requirement():
    judge = Judge(graded(10))
    score = written(TRICKS["secret"][0], scorer=judged(judge)).score
    assert (score.value, score.parts["quality"], judge.asked) == (0.0, 0.0, 0)
    assert "Vogel" in score.reason
    assert score.parts.keys() == written(GOOD, scorer=judged(judge)).score.parts.keys()


def test_requirements_can_be_ignored():
    judge = judged(Judge(graded(4)))
    score = written("Anything at all.", scorer=judge, requirements="ignore").score
    assert (score.value, score.parts) == (0.4, {"vote_1": 4.0})


@pytest.mark.parametrize("reply", ["", "10", "It is good.", '{"grade": 11}'])
def test_judge_that_fails_is_a_fault(reply):
    with pytest.raises(EnvironmentFault, match="JudgeFault: the judge 'judge' gave no"):
        written(GOOD, scorer=judged(Judge(lambda text: reply)))


def test_judge_that_fails_is_recorded_as_a_fault_in_rollouts():
    scorer = judged(Judge(lambda text: "well"))
    [done] = rollout(
        ENV, OraclePolicy(), episodes=1, env_kwargs={"scorer": scorer}, retries=0
    )
    assert "JudgeFault" in done.fault
    assert done.score is None


def test_steps_block_only_if_the_scorer_does():
    assert not blocks(RlhfEnv())
    assert not blocks(RlhfEnv(scorer=Lengthy()))
    assert blocks(RlhfEnv(scorer=judged(Judge(graded(1)))))


class Lengthy:
    """A reward model in small: the longer an answer, the better."""

    def verify(self, trajectory):
        return min(1.0, len(trajectory.answer or "") / 1000)

    def verify_group(self, trajectories):
        most = max(len(member.answer or "") for member in trajectories)
        return [Score(len(m.answer or "") / most, reason="long") for m in trajectories]


def test_reward_model_scores_single_letters():
    value = written(GOOD, scorer=Lengthy()).score.value
    assert value == len(GOOD) / 1000


OWN = Task("own", "Tell me of the sea.", {}, None)


def test_prompt_without_requirements_is_left_to_the_scorer():
    score = written("It is wide and blue.", OWN, scorer=Lengthy()).score
    assert (score.value, score.parts["facts"]) == (0.02, 1.0)
    assert written("", OWN, scorer=Lengthy()).score.reason.endswith(
        "there is no answer"
    )


def test_prompt_without_requirements_needs_a_scorer():
    with pytest.raises(
        EnvironmentFault, match="'own' has no `data\\['requirements'\\]`"
    ):
        written("It is wide and blue.", OWN)


LETTERS = [HONEST["plain"], HONEST["one long plea"], TRICKS["secret"][0], ""]


def group(letters, env_kwargs, **kwargs):
    """Play one group in which each member writes another letter."""
    members = [written(letter) for letter in letters]
    env = RlhfEnv(**env_kwargs)
    verifier = kwargs.get("group_verifier") or env.group_verifier
    return [score.value for score in verifier.verify_group(members)]


def prefer(text):
    first, second = text.partition("the first reply begins")[2].split(
        "the second reply begins"
    )
    better = "first" if "roof" in first else "second" if "roof" in second else "tie"
    return json.dumps({"reason": "r", "better": better})


class Chooser:
    """A policy that prefers the letter in which a word stands."""

    async def reply(self, request, trace=None):
        return Reply(prefer(request["messages"][1]["content"]))


PAIRS = {"group_scorer": PairwiseJudge(Chooser(), "It is friendly.")}


def test_pairwise_judge_compares_only_what_meets_the_requirements():
    assert group(LETTERS, PAIRS) == [0.0, 1.0, 0.0, 0.0]


def test_member_that_alone_meets_the_requirements_is_not_compared():
    assert group(LETTERS[1:], PAIRS) == [1.0, 0.0, 0.0]
    assert group(LETTERS[2:], PAIRS) == [0.0, 0.0]


def test_ignored_requirements_leave_the_group_to_its_judge():
    values = group(LETTERS, {**PAIRS, "requirements": "ignore"})
    assert values == [0.5, 1.0, 0.5, 0.0]


def test_reward_model_judges_a_group_in_rollouts():
    lines = iter([0, 9, 3, 5])
    policy = ScriptedPolicy(lambda request: "word " * (1 + next(lines)))
    settings = {"group_scorer": Lengthy(), "requirements": "ignore"}
    done = rollout(ENV, policy, episodes=4, group_size=4, env_kwargs=settings)
    values = sorted(trajectory.group_score.value for trajectory in done)
    assert values == pytest.approx([0.1, 0.4, 0.6, 1.0], abs=0.03)


def test_gated_group_scorer_reaches_rollouts():
    done = list(
        rollout(ENV, OraclePolicy(), episodes=6, group_size=3, env_kwargs=PAIRS)
    )
    assert [member.group_score.value for member in done] == [0.5] * 6
    assert {tuple(m.group_score.parts.items()) for m in done} == {
        (("requirements", 1.0),)
    }


def test_pairwise_judge_asks_for_groups():
    with pytest.raises(ValueError, match="groups of at least 2"):
        list(rollout(ENV, OraclePolicy(), episodes=2, env_kwargs=PAIRS))


def test_group_verifier_of_a_rollout_takes_the_place_of_the_own_one():
    done = rollout(
        ENV, OraclePolicy(), episodes=2, group_size=2, group_verifier=Lengthy()
    )
    assert [member.group_score.value for member in done] == [1.0, 1.0]


def test_environment_with_scorers_can_be_pickled():
    env = RlhfEnv(scorer=Lengthy(), group_scorer=Lengthy())
    again = pickle.loads(pickle.dumps(env))
    assert play(again, [""], seed=3).score.value == 0.0
    assert isinstance(again.group_verifier.scorer, Lengthy)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"scorer": 3}, TypeError, "`scorer` must have a method `verify`, 3 has none"),
        ({"group_scorer": 3}, TypeError, "`group_scorer` must have a method"),
        ({"requirements": "no"}, ValueError, '"gate" or "ignore", not \'no\''),
        (
            {"requirements": "ignore"},
            ValueError,
            "needs a `scorer` or a `group_scorer`",
        ),
    ],
)
def test_unfit_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        RlhfEnv(**settings)
