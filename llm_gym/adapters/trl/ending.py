"""Which tokens end a reply: what reward functions are not told, a callback is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llm_gym.errors import require
from llm_gym.policies.checkpoints import eos_ids

__all__ = ["Ending", "spec_callback"]


class Ending:
    """Tells completions that were cut off from those that ended."""

    def __init__(self) -> None:
        self._ids: frozenset[int] | None = None

    def learn(self, tokenizer: Any, model: Any) -> None:
        """Take note of the tokens that end a reply, as the trainer does itself."""
        inner = getattr(tokenizer, "tokenizer", tokenizer)  # of a processor
        known = {inner.eos_token_id, inner.pad_token_id} - {None}
        config = getattr(model, "generation_config", None)
        self._ids = frozenset(known | set(eos_ids(config)))

    def cut_off(self, ids: Sequence[int]) -> bool:
        """Say whether a completion's last token is none that ends a reply.

        Raises:
            RuntimeError: The spec's callback was not installed.
        """
        if self._ids is None:
            raise RuntimeError(
                "the TRLSpec was not told how replies end: pass `**spec.kwargs()` to "
                "the trainer, or `callbacks=spec.callbacks` beside its other arguments"
            )
        return not ids or ids[-1] not in self._ids


def spec_callback(ending: Ending, close: Callable[[], None]) -> Any:
    """Return a TrainerCallback that teaches an `Ending`, and closes when training ends.

    Raises:
        MissingDependencyError: transformers is not installed.
    """
    transformers = require("transformers", extra="trl")
    base: type = transformers.TrainerCallback

    class SpecCallback(base):  # type: ignore[misc]  # known at run time only
        """See `spec_callback`."""

        def on_init_end(
            self, args: Any, state: Any, control: Any, **kwargs: Any
        ) -> None:
            """Learn how replies end."""
            ending.learn(kwargs["processing_class"], kwargs["model"])

        def on_train_end(
            self, args: Any, state: Any, control: Any, **kwargs: Any
        ) -> None:
            """Close the environments."""
            close()

    return SpecCallback()
