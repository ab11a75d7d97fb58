"""TRL's real loop of AsyncGRPO with a server that is a function; importable."""

from __future__ import annotations

import inspect
import queue
import threading
from collections import Counter
from multiprocessing import get_context
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from tests.adapters.trl.stage import Row, Script, Speaker, tokenizer_of

accelerate = pytest.importorskip("accelerate")
worker = pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")

__all__ = ["ScriptedLoop", "loop_arguments", "play", "worker"]


# As the templates of Qwen write a call, and most of their like.
HERMES = {"<tool_call>{": "<tool_call>\n{", "}</tool_call>": "}\n</tool_call>"}


class ScriptedLoop(worker._AsyncRolloutLoop):  # type: ignore[misc]  # known at run time
    """Looks a vault's code up and opens it; of a group, every other one fails."""

    def __init__(self, *, unsaid: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self._unsaid = unsaid
        self._asked: Counter[str] = Counter()
        self._speaker = Speaker(self.tokenizer)
        self.script = Script(self.tokenizer, self._say)

    def _say(self, prompt: str, _: int) -> str:
        self._asked[prompt] += 1
        text = self._speaker.vault(prompt, self._asked[prompt] - 1)
        for plain, written in HERMES.items():
            text = text.replace(plain, written)
        return text.replace(self._unsaid, "")

    async def _generate_one_turn(
        self, prompt_ids: list[int]
    ) -> tuple[list[int], list[float]]:
        """Answer as the server would."""
        ((ids,), _) = self.script([prompt_ids], None, None)
        return ids, [-0.5] * len(ids)


def loop_arguments(spec: TRLSpec, family: str, **settings: Any) -> dict[str, Any]:
    """Return what the trainer hands over to the loop; all of it must pickle."""
    tokenizer = tokenizer_of(family)
    given = spec.async_kwargs(tokenizer)
    return {
        "model_name": "none",
        "dataset": given["train_dataset"],
        "reward_funcs": given["reward_funcs"],
        "environment_factory": given["environment_factory"],
        "processing_class": tokenizer,
        "eos_token_ids": [tokenizer.eos_token_id],
        "num_generations": 2,
        "max_inflight_tasks": 4,
        **settings,
    }


def play(
    spec: TRLSpec, rows: int, family: str = "qwen2_5", **settings: Any
) -> tuple[list[Any], ScriptedLoop]:
    """Run the loop in a thread until it has made so many rows of training."""
    accelerate.PartialState(cpu=True)  # the loop's process has one
    context = get_context("spawn")
    given = {
        **loop_arguments(spec, family, **settings),
        "rollout_buffer": queue.Queue(maxsize=rows),
        "model_version_value": context.Value("i", 0),
        "heartbeat_value": context.Value("d", 0.0),
        "failed_event": threading.Event(),
        "exception_info_queue": queue.Queue(),
        "metrics_queue": queue.Queue(),
    }
    known = inspect.signature(worker._AsyncRolloutLoop).parameters
    loop = ScriptedLoop(
        **{name: one for name, one in given.items() if name in {*known, "unsaid"}}
    )
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        samples = [given["rollout_buffer"].get(timeout=20) for _ in range(rows)]
    finally:
        if not loop._loop.is_closed():
            loop._loop.call_soon_threadsafe(loop._stop_event.set)
        thread.join(60)
    return samples, loop


def row_of(sample: Any) -> Row:
    """Return what the loss would see."""
    ids, mask = sample.input_ids.tolist(), sample.completion_mask.tolist()
    return Row([], ids, mask, sample.advantage)
