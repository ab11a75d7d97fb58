"""The environments: a class for each dataset of reasoning-gym, made when asked for."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from llm_gym.bridges.reasoning_gym.floors import (
    CONSTANT,
    EPISODES,
    WITHOUT_ORACLE,
    tasks_of,
)
from llm_gym.bridges.reasoning_gym.grader import Unscored, score_text
from llm_gym.bridges.reasoning_gym.library import item, read_config
from llm_gym.bridges.reasoning_gym.tasks import DatasetTasks, prompt_of
from llm_gym.bridges.reasoning_gym.unfit import UNFIT, UnfitTaskWarning
from llm_gym.env import ToolEnv
from llm_gym.errors import DefinitionError
from llm_gym.registration import BRIDGED
from llm_gym.tasks import Task
from llm_gym.trajectory import Score, Trajectory
from llm_gym.verifiers.answers import find_answer

__all__ = ["ReasoningGymEnv"]


class ReasoningGymEnv(ToolEnv):
    """Answer a question of a dataset of reasoning-gym; `env_class` makes one for each.

    Args:
        config: What differs from the dataset's default configuration, by name; neither
            `seed` nor `size`.
        partial: Whether the dataset's own score is paid, which for many datasets gives
            something for answers that are wrong, instead of 1.0 or nothing.
        kwargs: Those of `ToolEnv`.

    Raises:
        MissingDependencyError: reasoning-gym is not installed.
        ValueError: The configuration is none of the dataset's.
    """

    dataset: ClassVar[str]
    max_turns = 1
    blocking = True  # a score may wait for a worker

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        partial: bool = False,
        **kwargs: Any,
    ) -> None:
        text = read_config(self.dataset, config)
        self.partial = partial
        if kwargs.get("tasks") is None:
            kwargs["tasks"] = DatasetTasks(self.dataset, text)
        super().__init__(**kwargs)
        if self.dataset in UNFIT:
            warnings.warn(
                f"the task {self.dataset!r} of reasoning-gym is unfit for training: "
                f"{UNFIT[self.dataset]}",
                UnfitTaskWarning,
                stacklevel=2,
            )

    def verify(self, trajectory: Trajectory) -> Score:
        """Have the dataset score what stands in the tags, on the item made anew."""
        task = trajectory.task
        name, config, index = _item_of(task)
        if task.prompt != prompt_of(item(name, config, index)):
            raise DefinitionError(
                f"the item {index} of {name!r} is not the one that the task shows: "
                "another version of reasoning-gym made it, or it is not deterministic"
            )
        found = find_answer(trajectory.answer, "tag")
        if found.text is None:
            return _score(0.0, found=False, own=0.0, reason=found.problem)
        try:
            own = score_text(name, config, index, found.text)
        except Unscored as err:
            return _score(0.0, found=False, own=0.0, reason=str(err))
        right = own == 1.0  # sums of parts that were rounded up are above it
        value = min(max(own, 0.0), 1.0) if self.partial else float(right)
        reason = "the answer is right" if right else "the answer is not right"
        return _score(value, found=True, own=own, reason=reason)

    def oracle(self) -> str:
        """Return the dataset's answer in the tags.

        Raises:
            NotImplementedError: The dataset tells none.
        """
        if self.task.answer is None:
            raise NotImplementedError(f"the dataset {self.dataset!r} tells no answer")
        return f"<answer>{self.task.answer}</answer>"


def _item_of(task: Task) -> tuple[str, str, int]:
    """Return the dataset, its configuration and the index that a task carries."""
    try:
        name, config, index = (task.data[key] for key in ("dataset", "config", "index"))
    except KeyError as err:
        raise DefinitionError(
            f"the task's data must hold `dataset`, `config` and `index`, not {err}"
        ) from err
    return str(name), str(config), int(index)


def _score(value: float, *, found: bool, own: float, reason: str) -> Score:
    parts = {"format": float(found), "correct": float(own == 1.0), "dataset_score": own}
    return Score(value, parts, reason)


_CARD = """\
Answer a question of the task `{name}` of reasoning-gym.

Task:
    An item of the procedural dataset `{name}`.{unfit}

Tools:
    None.

Observation:
    One user message: the dataset's question, and how to mark the answer.

Reply:
    Text with the answer between `<answer>` and `</answer>`, whole lines of it where the
    question wants them; several pairs of tags must hold the same.

Reward:
    At the end 1.0 if the dataset's own scorer pays exactly 1.0 for the answer, else
    0.0. Its partial payments, which often go to answers that are wrong, are the part
    `dataset_score`, and the reward with `partial=True`. An answer that the scorer
    fails on or that takes it seconds is worth 0. Parts: `format` (an answer was found
    and could be scored), `correct`, `dataset_score`.

Episode end:
    Terminated by the reply, whatever it is; truncated if it was cut off by its length
    limit or calls a tool.

Levels:
    0: the dataset's default configuration.

Floors:
    oracle {oracle:.3f}, null 0.000, constant {constant:.3f}, random 0.000
    ({episodes} episodes, seed 0)
    That many had the constant reply; the others were played on {tasks} tasks.

Data and licence:
    Generated by reasoning-gym 0.1.25, Apache-2.0. Needs the extra `reasoning-gym`.

Arguments:
    `config`: what differs from the dataset's default configuration, by name.
    `partial`: whether the dataset's own score is paid, clipped to [0, 1].
    Those of `ToolEnv`.

Version history:
    v0: first version.
"""


@cache
def env_class(name: str) -> type[ReasoningGymEnv]:
    """Return the class of a dataset, whose docstring is its card."""
    unfit = f"Unfit for training: {UNFIT[name]}" if name in UNFIT else ""
    card = _CARD.format(
        name=name,
        unfit=textwrap.indent(textwrap.fill(f"\n{unfit}", 84), "    ") if unfit else "",
        oracle=0.0 if name in WITHOUT_ORACLE else 1.0,
        tasks=tasks_of(name),
        constant=CONSTANT.get(name, 0.0),
        episodes=EPISODES,
    )
    attributes = {"__doc__": card, "__module__": __name__, "dataset": name}
    return type(name, (ReasoningGymEnv,), attributes)


def __getattr__(name: str) -> type[ReasoningGymEnv]:
    """Return the class of a dataset by its name, for Gymnasium and pickles."""
    if name not in BRIDGED.values():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return env_class(name)
