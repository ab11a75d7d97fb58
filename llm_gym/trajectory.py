"""The record of an episode, and its JSON form.

A `Trajectory` holds what happened as deltas, a turn at a time, and enough of the
environment (id, arguments, a hash of its code and tools, the task, the seed) to run it
again. Its digest covers all that the same id, seed and replies determine; timings and
the circumstances of the run stand apart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from typing import Any, Literal

from llm_gym import jsontext
from llm_gym.errors import FormatError
from llm_gym.messages import Message, ToolSchema, Usage
from llm_gym.shapes import dump, shape_of
from llm_gym.tasks import Task
from llm_gym.tokens.trace import TokenRecord
from llm_gym.validation import SchemaValidator

__all__ = [
    "SCHEMA_VERSION",
    "CallRecord",
    "CallStatus",
    "Certificate",
    "RunInfo",
    "Score",
    "StopReason",
    "Timing",
    "Trajectory",
    "Turn",
    "as_score",
]

SCHEMA_VERSION = 1
"""The version of the JSON form; it grows when a reader must know of a change."""


class StopReason(Enum):
    """Why an episode ended. The first four terminate, the others truncate."""

    ANSWER = "answer"
    """A reply without a tool call was the answer."""
    GOAL = "goal"
    """The environment saw its goal reached."""
    TOOL = "tool"
    """A tool ended the episode."""
    USER_LEFT = "user_left"
    """The simulated user ended the conversation."""
    MAX_TURNS = "max_turns"
    MAX_TOKENS = "max_tokens"
    MAX_SECONDS = "max_seconds"
    REPLY_LENGTH = "reply_length"
    """A reply was cut off by its length limit; its calls did not run."""

    @property
    def terminated(self) -> bool:
        """Whether the task was decided; otherwise a budget ran out."""
        return self in _TERMINATED


_TERMINATED = frozenset(
    {StopReason.ANSWER, StopReason.GOAL, StopReason.TOOL, StopReason.USER_LEFT}
)


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier's judgement.

    Attributes:
        value: In [0, 1].
        parts: What it is made of, by name; each a finite number.
        reason: Why, in words.

    Raises:
        ValueError: The value is outside of [0, 1] or a part is not finite.
    """

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        value = float(self.value)
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"a score must be in [0, 1], not {self.value!r}")
        parts = {name: float(part) for name, part in self.parts.items()}
        if not all(math.isfinite(part) for part in parts.values()):
            raise ValueError(f"the parts of a score must be finite, not {parts!r}")
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "parts", parts)


def as_score(result: object) -> Score:
    """Return what a verifier returned as a `Score`.

    Raises:
        TypeError: It is neither a `Score` nor a number.
        ValueError: The number is outside of [0, 1].
    """
    if isinstance(result, Score):
        return result
    if isinstance(result, (int, float)) or hasattr(result, "__float__"):
        return Score(float(result))
    raise TypeError(
        f"a verifier must return a Score or a float in [0, 1], not {result!r}"
    )


CallStatus = Literal["ok", "tool_error", "invalid", "not_run"]
"""ok; refused by the tool; not a valid call; not run (too many, or too late)."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A tool call and what came of it.

    Attributes:
        id: The call's id, unique in its reply.
        name: The tool's name as the model wrote it.
        status: See `CallStatus`.
        arguments: As the model wrote them, None where they were not readable.
        raw: The unreadable arguments, None where they were readable.
        result: What the model was shown.
        reward: The step reward that the tool added.
    """

    id: str
    name: str
    status: CallStatus
    arguments: dict[str, Any] | None
    raw: str | None
    result: str
    reward: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply and what the environment answered.

    Attributes:
        reply: The assistant's message, with its `reasoning_content` if it had any.
        calls: Its tool calls.
        added: The messages that the environment added after the reply.
        reward: The reward of this step, the score included on the last one.
        finish_reason: See `llm_gym.Reply`.
        usage: See `llm_gym.Reply`.
    """

    reply: Message
    calls: tuple[CallRecord, ...]
    added: tuple[Message, ...]
    reward: float
    finish_reason: str = "stop"
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The circumstances of a rollout; not part of the digest.

    Attributes:
        policy: The policy's name.
        episode: The episode's number in its run, from 0.
        group: The number of its group, from 0.
        attempts: How often it was started; more than 1 after a fault.
        wrappers: The wrappers around the environment, the inmost first.
    """

    policy: str = ""
    episode: int = 0
    group: int = 0
    attempts: int = 1
    wrappers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, in seconds of wall clock; not part of the digest.

    Attributes:
        policy_seconds: Waiting for replies, batching included.
        env_seconds: In `reset()` and `step()`, tools and verifier included.
    """

    policy_seconds: float = 0.0
    env_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Hashes that tie an episode's tokens to its messages; all are SHA-256.

    Attributes:
        tokenizer: Of the tokenizer.
        template: Of its chat template.
        ids: Of all token ids.
        mask: Of which of them were sampled.
        digest: The trajectory's digest.
    """

    tokenizer: str
    template: str
    ids: str
    mask: str
    digest: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of an episode, finished or not.

    Attributes:
        env_id: The registered id, or the class's qualified name.
        env_kwargs: What the environment was made with, as plain data.
        env_hash: Hash of the environment's code, its tools included.
        task: The task, its answer included.
        seed: Handed to `reset()` it gives the same episode.
        prompt: The messages of the first observation.
        tools: The tools of the first observation.
        turns: What happened since.
        stop_reason: Why it ended, None while it runs or after a fault.
        outcome: What the environment recorded of its final state for the verifier.
        score: The verifier's judgement, None before the end or after a fault.
        fault: What broke, None where nothing did. Such an episode has no reward.
        run: See `RunInfo`.
        timing: See `Timing`.
        task_hash: Hash of the task's content: one id with two contents shows.
        tokens: The exact tokens, where the policy told them; not part of the digest.
        certificate: What `llm-gym verify` holds the record to; not part of the digest.
        group_score: The judgement among the members of its group, None where nothing
            judged the group; not part of the digest.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    env_hash: str
    task: Task
    seed: int
    prompt: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    turns: tuple[Turn, ...] = ()
    stop_reason: StopReason | None = None
    outcome: Any = None
    score: Score | None = None
    fault: str | None = None
    run: RunInfo | None = None
    timing: Timing | None = None
    task_hash: str = ""
    tokens: TokenRecord | None = None
    certificate: Certificate | None = None
    group_score: Score | None = None

    @property
    def messages(self) -> list[Message]:
        """The whole conversation."""
        messages = list(self.prompt)
        for turn in self.turns:
            messages.append(turn.reply)
            messages.extend(turn.added)
        return messages

    @property
    def calls(self) -> Iterator[CallRecord]:
        """Every tool call, in order."""
        return (call for turn in self.turns for call in turn.calls)

    @property
    def answer(self) -> str | None:
        """The text of the reply that was the answer, None if the episode had none."""
        if self.stop_reason is not StopReason.ANSWER:
            return None
        return self.turns[-1].reply["content"]

    @property
    def episode_return(self) -> float:
        """The sum of the rewards; NaN after a fault, which has none.

        Where the group was judged, that score counts in place of the episode's own.
        """
        if self.fault:
            return math.nan
        rewards = sum(turn.reward for turn in self.turns)
        if self.group_score is None:
            return rewards
        return (
            rewards - (self.score.value if self.score else 0) + self.group_score.value
        )

    @property
    def success(self) -> bool:
        """Whether the verifier gave full marks; never so after a fault."""
        full = self.score is not None and self.score.value >= 1.0
        return full and self.fault is None

    @property
    def sampled_tokens(self) -> int:
        """How many tokens its replies sampled, as far as they told."""
        return sum(turn.usage.completion_tokens for turn in self.turns if turn.usage)

    @property
    def tool_errors(self) -> int:
        """How many calls did not succeed."""
        return sum(call.status != "ok" for call in self.calls)

    @property
    def digest(self) -> str:
        """SHA-256 of what id, seed and replies determine, in hexadecimal.

        `run`, `timing`, `tokens`, `certificate` and `group_score` are not in it.
        """
        return _digest(dump(self))

    def to_json(self) -> str:
        """Return the trajectory as one line of canonical JSON."""
        body = dump(self)
        return jsontext.canonical(
            {"schema_version": SCHEMA_VERSION, "digest": _digest(body), **body}
        )

    @classmethod
    def from_json(cls, text: str, *, check: bool = True) -> Trajectory:
        """Read a trajectory.

        Args:
            text: What `to_json` wrote.
            check: Whether to refuse a record whose digest or certificate is not that
                of its content; `llm-gym verify` looks at such a record too.

        Raises:
            FormatError: The text is no JSON, of another version, does not follow the
                schema, or its digest or certificate is not that of its content.
        """
        body = _read_body(text)
        version = body.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise FormatError(
                f"`schema_version`: expected {SCHEMA_VERSION}, came {version!r}; "
                "it was written by another version of llm_gym"
            )
        digest = body.pop("digest", None)
        validator, build = _form()
        problem = validator.error(body)
        if problem is not None:
            raise FormatError(f"not a trajectory: {problem}")
        try:
            trajectory: Trajectory = build(body)
        except ValueError as err:
            raise FormatError(f"not a trajectory: {err}") from err
        if check:
            _refuse_changed(trajectory, digest)
        return trajectory

    def with_run(self, run: RunInfo, timing: Timing) -> Trajectory:
        """Return the trajectory with the circumstances of its run."""
        return replace(self, run=run, timing=timing)

    def with_group_score(self, score: Score) -> Trajectory:
        """Return the trajectory with its judgement among its group."""
        return replace(self, group_score=score)

    def with_tokens(self, tokens: TokenRecord) -> Trajectory:
        """Return the trajectory with its tokens and the certificate of both."""
        sealed = replace(self, tokens=tokens)
        return replace(sealed, certificate=_certificate(tokens, self.digest))


_NOT_HASHED = frozenset({"run", "timing", "tokens", "certificate", "group_score"})


def _certificate(tokens: TokenRecord, digest: str) -> Certificate:
    return Certificate(
        tokens.tokenizer_hash,
        tokens.template_hash,
        tokens.ids_hash,
        tokens.mask_hash,
        digest,
    )


def _refuse_changed(trajectory: Trajectory, digest: object) -> None:
    """Raise if a record is not what its digest and its certificate say."""
    found = trajectory.digest
    if digest != found:
        raise FormatError(
            f"`digest`: expected {found}, came {digest!r}; "
            "the trajectory was changed after it was written"
        )
    if trajectory.tokens is None:
        if trajectory.certificate is not None:
            raise FormatError("`certificate`: there are no `tokens` that it is of")
        return
    expected = _certificate(trajectory.tokens, found)
    for name, value in dump(expected).items():
        came = getattr(trajectory.certificate, name, None)
        if came != value:
            raise FormatError(
                f"`certificate.{name}`: expected {value!r}, came {came!r}; the tokens "
                "or the trajectory were changed after they were written"
            )


@cache
def _form() -> tuple[SchemaValidator, Callable[[Any], Any]]:
    """Return what checks and what builds a trajectory; not made at import."""
    shape = shape_of(Trajectory, "a trajectory")
    return SchemaValidator(shape.schema), shape.build or dict


def _read_body(text: str) -> dict[str, Any]:
    try:
        # Arguments of the greatest depth stand some levels down in a record.
        body = jsontext.loads(text, max_chars=None, max_depth=2 * jsontext.MAX_DEPTH)
    except ValueError as err:
        raise FormatError(f"not a trajectory: {err}") from err
    if not isinstance(body, dict):
        raise FormatError(f"not a trajectory: expected an object, came {text[:80]!r}")
    return body


def _digest(body: Mapping[str, Any]) -> str:
    hashed = {k: v for k, v in body.items() if k not in _NOT_HASHED}
    return hashlib.sha256(jsontext.canonical(hashed).encode()).hexdigest()
