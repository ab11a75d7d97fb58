"""Reward models: sequence classifiers that give a conversation one number."""

from __future__ import annotations

import math
import statistics
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from llm_gym.errors import DefinitionError, EnvironmentFault, require
from llm_gym.trajectory import Score, Trajectory

__all__ = ["RewardModelVerifier"]

_ROUNDING = 1e-5
"""Numbers of a group that differ by less are taken as the same."""


class RewardModelVerifier:
    """Scores an answer by a reward model of transformers.

    The model reads the task's prompt and the final answer, rendered by its tokenizer's
    chat template, and gives one number r, as models trained by the Bradley-Terry loss
    do (Bradley and Terry 1952: the first of two is preferred with the probability
    sigmoid(r1 - r2)). The value is sigmoid((r - mean) / scale); r itself stands in
    `parts` as `logit`. For values that spread over [0, 1], give the mean and the
    standard deviation of r over typical answers.

    An answer in which a special token of the model is spelled out could pretend to be
    several messages: it is worth nothing, as is one longer than the model reads.
    Nothing is ever cut off.

    Example:
        >>> scorer = RewardModelVerifier("path/to/model", mean=-1.2, scale=2.5)

    Args:
        model: A folder or a hub's name of a sequence classifier with one label; or the
            model itself.
        tokenizer: Its tokenizer, where the model itself is given.
        mean: What becomes 1/2.
        scale: How much more becomes 0.73.
        within_group: Whether `verify_group` takes mean and scale from the group's own
            numbers, instead of these.
        max_tokens: The most that it reads; what its configuration says if None.
        batch: How many it reads at once, in `verify_group`.
        device: Where it runs.

    Raises:
        ValueError: A number is out of range.
        DefinitionError: It is no such model, or its tokenizer has no chat template.
        MissingDependencyError: transformers is not installed.
    """

    blocking: ClassVar[bool] = True

    def __init__(
        self,
        model: str | Path | Any,
        tokenizer: Any | None = None,
        *,
        mean: float = 0.0,
        scale: float = 1.0,
        within_group: bool = False,
        max_tokens: int | None = None,
        batch: int = 8,
        device: str = "cpu",
    ) -> None:
        if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0):
            raise ValueError(
                f"`mean` must be finite and `scale` positive, not {mean!r}, {scale!r}"
            )
        if batch < 1:
            raise ValueError(f"`batch` must be at least 1, not {batch!r}")
        self.mean, self.scale, self.within_group = mean, scale, within_group
        self.batch, self.device = batch, device
        self._source = model if isinstance(model, (str, Path)) else None
        self._asked_tokens = max_tokens
        self._load(model, tokenizer)

    def _load(self, model: Any, tokenizer: Any | None) -> None:
        transformers = require("transformers", extra="transformers")
        if self._source is not None:
            kind = transformers.AutoModelForSequenceClassification
            model = kind.from_pretrained(str(self._source), dtype="float32")
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(self._source))
        if tokenizer is None or not getattr(tokenizer, "chat_template", None):
            raise DefinitionError("a reward model's tokenizer needs a chat template")
        if getattr(model.config, "num_labels", None) != 1:
            raise DefinitionError(
                "a reward model must have one label, this one has "
                f"{getattr(model.config, 'num_labels', None)!r}"
            )
        if tokenizer.pad_token_id is None:
            raise DefinitionError("a reward model's tokenizer needs a padding token")
        model.config.pad_token_id = tokenizer.pad_token_id
        self._model, self._tokenizer = model.to(self.device).eval(), tokenizer
        own = getattr(model.config, "max_position_embeddings", None)
        self.max_tokens = self._asked_tokens or own or 4_096
        self._special = set(tokenizer.all_special_tokens)
        self._special |= {
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if token.special
        }
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        if self._source is None:
            raise TypeError(
                "a verifier that was given a model itself cannot be pickled: give it "
                "the model's folder"
            )
        heavy = ("_model", "_tokenizer", "_lock")
        return {name: value for name, value in vars(self).items() if name not in heavy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._load(self._source, None)

    def verify(self, trajectory: Trajectory) -> Score:
        """Score an episode's answer.

        Raises:
            DefinitionError: The prompt alone is longer than the model reads.
            EnvironmentFault: The model gave no finite number.
        """
        [found] = self._read([trajectory])
        return found if isinstance(found, Score) else self._score(found, self.mean, 0.0)

    def verify_group(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Score a group's answers, read in batches.

        Raises:
            DefinitionError: The prompt alone is longer than the model reads.
            EnvironmentFault: The model gave no finite number.
        """
        found = self._read(trajectories)
        logits = [logit for logit in found if not isinstance(logit, Score)]
        mean, scale = self.mean, 0.0
        if self.within_group and logits:
            mean = statistics.fmean(logits)
            spread = statistics.pstdev(logits)
            scale = spread if spread > _ROUNDING else 1.0  # equal but for rounding
        return [
            logit if isinstance(logit, Score) else self._score(logit, mean, scale)
            for logit in found
        ]

    def _score(self, logit: float, mean: float, scale: float) -> Score:
        distance = (logit - mean) / (scale or self.scale)
        return Score(_sigmoid(distance), {"logit": logit})

    def _read(self, trajectories: Sequence[Trajectory]) -> list[Score | float]:
        """Return each answer's number, or its score where it need not be read."""
        found: list[Score | float] = []
        rows: list[tuple[int, list[int]]] = []
        for index, trajectory in enumerate(trajectories):
            tokens = self._tokens(trajectory)
            if isinstance(tokens, str):
                found.append(Score(0.0, reason=tokens))
            else:
                rows.append((index, tokens))
                found.append(math.nan)
        for start in range(0, len(rows), self.batch):
            some = rows[start : start + self.batch]
            logits = self._logits([tokens for _, tokens in some])
            for (index, _), logit in zip(some, logits, strict=True):
                found[index] = logit
        return found

    def _tokens(self, trajectory: Trajectory) -> list[int] | str:
        """Return the token ids that the model reads, or why it need not."""
        answer = trajectory.answer
        if answer is None or not answer.strip():
            return "there is no answer to be scored"
        if any(mark in answer for mark in self._special):
            return "the answer spells a special token of the reward model"
        prompt = [dict(message) for message in trajectory.prompt]
        ids = self._render([*prompt, {"role": "assistant", "content": answer}])
        if len(ids) <= self.max_tokens:
            return ids
        if len(self._render(prompt)) >= self.max_tokens:
            raise DefinitionError(
                f"the prompt alone is longer than the {self.max_tokens} tokens that "
                "the reward model reads"
            )
        return f"the answer is longer than the reward model reads: {len(ids)} tokens"

    def _render(self, messages: list[dict[str, Any]]) -> list[int]:
        text = self._tokenizer.apply_chat_template(messages, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _logits(self, rows: Sequence[Sequence[int]]) -> list[float]:
        torch = require("torch", extra="transformers")
        width = max(map(len, rows))
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with self._lock, torch.inference_mode():
            output = self._model(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
            )
        logits: list[float] = output.logits[:, 0].float().tolist()
        if not all(map(math.isfinite, logits)):
            raise EnvironmentFault(f"the reward model gave no finite number: {logits}")
        return logits


def _sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without an overflow."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))
