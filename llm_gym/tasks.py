"""Tasks and where they come from: a list, a JSONL file, or a generator with splits.

A source says which tasks there are; it holds no episode and changes nothing, so many
environments may share one.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

import numpy as np

from llm_gym import jsontext
from llm_gym.errors import DefinitionError, FormatError, UnknownTaskError
from llm_gym.shapes import dump, shape_of
from llm_gym.validation import SchemaValidator

__all__ = [
    "TASK_SCHEMA",
    "GeneratedTasks",
    "JsonlTasks",
    "ListTasks",
    "Split",
    "Task",
    "TaskSource",
]

Split = Literal["train", "validation", "test"]


class PromptMessage(TypedDict):
    """A message that a task may start with."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        id: Unique in its source; "" until a source has named it.
        prompt: What the model is first shown: a user's text, or messages.
        data: What the tools work on. The model may come to see any of it.
        answer: What the verifier compares with. Nothing that the model is shown, no
            tool result and no `info`, may depend on it (`llm-gym check` tests that).
        split: The split that it belongs to.
        level: Its difficulty, from 0.
    """

    id: str = ""
    prompt: str | list[PromptMessage] = ""
    data: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    split: Split = "train"
    level: int = 0

    def rng(self) -> np.random.Generator:
        """Return a generator that depends on the task's id alone.

        For what belongs to the task, so that every rollout of it sees the same; what
        happens by chance during an episode comes from the environment's `np_random`.
        """
        digest = hashlib.sha256(self.id.encode(errors="surrogatepass")).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))

    def plain(self) -> Task:
        """Return the task with its content as the JSON that a record would hold.

        A tuple becomes a list and a number that is a key becomes a str, so that an
        episode sees what its stored record will. The content is copied.

        Raises:
            ValueError: The content has no strict JSON form.
        """
        content = {"prompt": self.prompt, "data": self.data, "answer": self.answer}
        return replace(self, **jsontext.normalise(content, max_chars=None))

    def content_hash(self) -> str:
        """Return 16 hexadecimal digits of a SHA-256 of the content, the id left out."""
        return _content_digest(self).hex()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the task as plain data, in the form of `TASK_SCHEMA`."""
        plain: dict[str, Any] = dump(self)
        return plain


_SHAPE = shape_of(Task, "a task")

TASK_SCHEMA: dict[str, Any] = {**_SHAPE.schema, "required": ["id"]}
"""The JSON Schema of one line of a task file."""


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(TASK_SCHEMA)  # not at import, which must be quick


def read_task(value: object, where: str) -> Task:
    """Build a task from plain data.

    Args:
        value: What `Task.to_json` returns.
        where: Where it came from, for the error message.

    Raises:
        FormatError: It does not follow `TASK_SCHEMA`.
    """
    problem = _validator().error(value)
    if problem is not None:
        raise FormatError(f"{where}: {problem}")
    task: Task = _SHAPE.build(value) if _SHAPE.build else Task()
    if not task.id:
        raise FormatError(f"{where}: `id`: expected a non-empty str, came ''")
    return task


class TaskSource(ABC):
    """Where an environment's tasks come from."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Task:
        """Draw a task of the selected split and level."""

    @abstractmethod
    def get(self, task_id: str) -> Task:
        """Return the task of an id, of whatever split and level.

        Raises:
            UnknownTaskError: There is none.
        """

    @abstractmethod
    def select(self, split: Split, level: int | None) -> TaskSource:
        """Return the source narrowed to a split and a level.

        Args:
            split: The split to sample from.
            level: The level to sample from, None for all.

        Raises:
            ValueError: There is no such split or level.
        """


class ListTasks(TaskSource):
    """Tasks that are at hand.

    Args:
        tasks: The tasks; each with an id of its own.

    Raises:
        FormatError: An id is missing or used twice, or there is no task.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._by_id: dict[str, Task] = {}
        for task in tasks:
            if not task.id or task.id in self._by_id:
                raise FormatError(
                    f"each task needs an id of its own, {task.id!r} is empty or taken"
                )
            self._by_id[task.id] = task
        if not self._by_id:
            raise FormatError("a task source needs at least one task")
        self._selected = tuple(self._by_id.values())

    def __len__(self) -> int:
        return len(self._selected)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._selected)

    def sample(self, rng: np.random.Generator) -> Task:
        """Draw a task uniformly."""
        return self._selected[int(rng.integers(len(self._selected)))]

    def get(self, task_id: str) -> Task:
        """Return the task of an id."""
        try:
            return self._by_id[task_id]
        except KeyError as err:
            raise UnknownTaskError(
                f"there is no task {task_id!r} among these {len(self._by_id)}"
            ) from err

    def select(self, split: Split, level: int | None) -> Self:
        """Return the tasks of a split and a level."""
        chosen = tuple(
            task
            for task in self._by_id.values()
            if task.split == split and level in (None, task.level)
        )
        if not chosen:
            there = sorted({(task.split, task.level) for task in self._by_id.values()})
            raise ValueError(
                f"no task has split {split!r} and level {level!r}; there are {there}"
            )
        narrowed = object.__new__(type(self))
        vars(narrowed).update(vars(self), _selected=chosen)
        return narrowed


class JsonlTasks(ListTasks):
    """Tasks from a file with one JSON object a line, as `TASK_SCHEMA` has it.

    Args:
        path: The file. Pickling carries the path and reads the file again.

    Raises:
        FormatError: A line does not follow the schema or an id is used twice; the
            message names the file, the line, the field, what was expected and what
            came.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._choice: tuple[Split, int | None] | None = None
        super().__init__(_read_lines(self._path))

    def select(self, split: Split, level: int | None) -> Self:
        """Return the tasks of a split and a level."""
        narrowed = super().select(split, level)
        narrowed._choice = (split, level)
        return narrowed

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (str(self._path), self._choice))


class GeneratedTasks(TaskSource):
    """Tasks without end, each made from its id.

    A task's id is `split-level-index`, and the same id always gives the same task. No
    content is ever in two splits: the hash of what was generated says which split it
    falls in, and what falls in another one is drawn again.

    Args:
        generate: Makes a task, without an id, from a generator and a level. It must be
            importable (a module's function), so that environments can be pickled.
        levels: How many levels of difficulty there are.
    """

    INDICES = 2**40
    """How many indices a split has at each level."""

    def __init__(
        self, generate: Callable[[np.random.Generator, int], Task], levels: int = 1
    ) -> None:
        self._generate = generate
        self._levels = levels
        self._split: Split = "train"
        self._level: int | None = None

    def sample(self, rng: np.random.Generator) -> Task:
        """Draw a task of the selected split, of the selected level or of any."""
        level = self._level
        if level is None:
            level = int(rng.integers(self._levels)) if self._levels > 1 else 0
        return self._make(self._split, level, int(rng.integers(self.INDICES)))

    def get(self, task_id: str) -> Task:
        """Make the task of an id."""
        match = _TASK_ID.fullmatch(task_id)
        if match is None or int(match[2]) >= self._levels:
            raise UnknownTaskError(
                "a task id must be `train-`, `validation-` or `test-`, a level below "
                f"{self._levels}, `-` and an index, not {task_id!r}"
            )
        split: Split = match[1]  # type: ignore[assignment]  # the pattern holds it
        return self._make(split, int(match[2]), int(match[3]))

    def select(self, split: Split, level: int | None) -> GeneratedTasks:
        """Return the source narrowed to a split and a level."""
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {_SPLITS}, not {split!r}")
        if level is not None and not 0 <= level < self._levels:
            raise ValueError(
                f"`level` must be None or from 0 to {self._levels - 1}, not {level!r}"
            )
        narrowed = GeneratedTasks(self._generate, self._levels)
        narrowed._split, narrowed._level = split, level
        return narrowed

    def _make(self, split: Split, level: int, index: int) -> Task:
        seed = np.random.SeedSequence([_SPLITS.index(split), level, index])
        rng = np.random.Generator(np.random.PCG64(seed))
        for _ in range(_MOST_DRAWS):
            task = self._generate(rng, level)
            if _split_of(task) == split:
                name = f"{split}-{level}-{index}"
                return replace(task, id=name, split=split, level=level)
        raise DefinitionError(
            f"none of {_MOST_DRAWS} tasks of level {level} fell in the split "
            f"{split!r}: the generator makes too few different tasks"
        )


class BlankTasks(TaskSource):
    """Tasks that are but an id, for environments that draw all else by `Task.rng`."""

    def __init__(self, split: Split = "train", level: int = 0) -> None:
        self._split, self._level = split, level

    def sample(self, rng: np.random.Generator) -> Task:
        """Draw an id."""
        return self.get(f"{self._split}-{self._level}-{rng.integers(2**40)}")

    def get(self, task_id: str) -> Task:
        """Return the task of an id; `split-level-index` is read, any other is taken."""
        match = _TASK_ID.fullmatch(task_id)
        if match is None:
            return Task(id=task_id, split=self._split, level=self._level)
        split: Split = match[1]  # type: ignore[assignment]  # the pattern holds it
        return Task(id=task_id, split=split, level=int(match[2]))

    def select(self, split: Split, level: int | None) -> BlankTasks:
        """Return the source for a split and a level, None being 0."""
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {_SPLITS}, not {split!r}")
        return BlankTasks(split, level or 0)


_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_TASK_ID = re.compile(r"(train|validation|test)-([0-9]{1,3})-([0-9]{1,15})")
_MOST_DRAWS = 1000


def _split_of(task: Task) -> Split:
    """Say the split of a content: train for eight in ten, one in ten for each other."""
    bucket = _content_digest(task)[0] % 10
    return {8: "validation", 9: "test"}.get(bucket, "train")  # type: ignore[return-value]


def _content_digest(task: Task) -> bytes:
    content = {"prompt": task.prompt, "data": task.data, "answer": task.answer}
    return hashlib.sha256(jsontext.canonical(content).encode()).digest()


def _read_lines(path: Path) -> Iterator[Task]:
    seen: dict[str, int] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as err:
        raise FormatError(f"the task file {str(path)!r} cannot be read: {err}") from err
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        try:
            value = jsontext.loads(line.decode(), max_chars=None)
        except ValueError as err:
            raise FormatError(f"{where}: expected one JSON object: {err}") from err
        task = read_task(value, where)
        if task.id in seen:
            raise FormatError(
                f"{where}: `id`: {task.id!r} was used in line {seen[task.id]} already"
            )
        seen[task.id] = number
        yield task
    if not seen:
        raise FormatError(f"the task file {str(path)!r} holds no task")


def _reopen(path: str, choice: tuple[Split, int | None] | None) -> JsonlTasks:
    source = JsonlTasks(path)
    return source if choice is None else source.select(*choice)


def as_source(tasks: object) -> TaskSource:
    """Return a task source for what a caller hands in: a source, or a file's path."""
    if isinstance(tasks, TaskSource):
        return tasks
    if isinstance(tasks, (str, Path)):
        return JsonlTasks(tasks)
    raise TypeError(
        f"`tasks` must be a TaskSource or the path of a JSONL file, not {tasks!r}"
    )
