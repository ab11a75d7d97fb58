"""The warm start: how calls are written, and nothing of which call is right.

The teacher is an agent that knows the form of an episode alone: it looks something up by
a tool drawn at random, with a term drawn at random from what has been said, and submits
a code drawn at random from what has been said. It never sees a reward or an answer, and
earns about what chance gives. What is learned from it is to speak: names of tools,
JSON, and that arguments are copied from the conversation.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch

import llm_gym  # noqa: F401  # registers the environments
from learn.tiny import make_model, make_tokenizer
from llm_gym import rollout
from llm_gym.messages import ChatRequest, Reply
from llm_gym.trajectory import Trajectory

__all__ = ["RandomCaller", "warm_start"]

_CODE = re.compile(r"\b[A-HJ-NP-Z][A-HJ-NP-Z2-9]{4}\b")
_NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")


class RandomCaller:
    """The teacher.

    Args:
        seed: Decides what it draws.
        submits: The probability that a reply after the first is a submission.
    """

    name = "random-caller"

    def __init__(self, seed: int, submits: float = 0.6) -> None:
        self.random = random.Random(seed)
        self.submits = submits

    async def reply(self, request: ChatRequest, trace: Any = None) -> Reply:
        """Call a tool at random with something that has been said."""
        said = " ".join(message["content"] or "" for message in request["messages"])
        codes, names = _CODE.findall(said), _NAME.findall(said)
        names = [name for name in names if not name.startswith(("Find", "What"))]
        tools = [tool["function"] for tool in request["tools"]]
        looks = [tool for tool in tools if tool["name"] != "submit"]
        submits = len(request["messages"]) > 1 and self.random.random() < self.submits
        tool = tools[-1] if submits else self.random.choice(looks)
        (argument,) = tool["parameters"]["properties"]
        term = self.random.choice(codes or names)
        if names and (argument == "name" or not codes):
            term = self.random.choice(names)
        call = {"name": tool["name"], "arguments": {argument: term}}
        return Reply(f"<tool_call>\n{json.dumps(call)}\n</tool_call>", "stop")


def warm_start(
    env_id: str, env_kwargs: dict[str, Any], seed: int, *, episodes: int, steps: int
) -> tuple[Any, Any]:
    """Make a model and its tokenizer, and teach it to speak.

    Args:
        env_id: The environment.
        env_kwargs: What it is made with; its training split is played.
        seed: Decides weights, episodes and batches.
        episodes: How many the teacher plays.
        steps: Steps of the optimiser, over batches of 64.

    Returns:
        The model and the tokenizer.
    """
    played = list(
        rollout(env_id, RandomCaller(seed), episodes=episodes, seed=seed,
                env_kwargs=env_kwargs)
    )  # fmt: skip
    tokenizer = make_tokenizer(map(_as_text, played))
    model = make_model(tokenizer, seed)
    rows = [row for trajectory in played for row in _rows(tokenizer, trajectory)]
    _train(model, rows, tokenizer.pad_token_id, seed, steps)
    return model, tokenizer


def _as_text(trajectory: Trajectory) -> str:
    """Return all that is said, without the marks of the template."""
    parts = [message["content"] or "" for message in trajectory.messages]
    parts += [tool["function"]["name"] for tool in trajectory.tools]
    parts += [p for t in trajectory.tools for p in t["function"]["parameters"]["properties"]]  # fmt: skip
    return "\n".join(parts)


def _rows(
    tokenizer: Any, trajectory: Trajectory
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield for each reply the ids up to its end, and which of them are its own."""
    ids: list[int] = []
    for part, own in _parts(tokenizer, trajectory):
        ids = ids + part
        if own:
            yield ids, [0] * (len(ids) - len(part)) + [1] * len(part)


def _parts(tokenizer: Any, trajectory: Trajectory) -> Iterator[tuple[list[int], bool]]:
    """Yield what is read and what is spoken, in turn."""
    messages = [_as_template_takes_it(m) for m in trajectory.messages]
    before = ""
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        read = _render(tokenizer, messages[:number], add_generation_prompt=True)
        whole = _render(tokenizer, messages[: number + 1])
        yield tokenizer(read[len(before) :])["input_ids"], False
        yield tokenizer(whole[len(read) :])["input_ids"], True
        before = whole


def _render(tokenizer: Any, messages: Sequence[Any], **options: Any) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tools=[{"name": "any"}], tokenize=False, **options
    )
    return text


def _as_template_takes_it(message: Any) -> dict[str, Any]:
    calls = [
        {
            "function": {
                **c["function"],
                "arguments": json.loads(c["function"]["arguments"]),
            }
        }
        for c in message.get("tool_calls") or []
    ]
    return {**message, "tool_calls": calls}


def _train(model: Any, rows: Sequence[Any], pad: int, seed: int, steps: int) -> None:
    chance = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    model.train()
    for step in range(steps):
        scale = min(1.0, (step + 1) / 20) * (
            0.5 + 0.5 * math.cos(math.pi * step / steps)
        )
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * max(scale, 0.05)
        loss = _loss(model, chance.sample(list(rows), 64), pad)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"warm start, step {step}: loss {loss.item():.3f}", flush=True)
    model.eval()


def _loss(model: Any, rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Any:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([i + [pad] * (width - len(i)) for i, _ in rows])
    spoken = torch.tensor([s + [0] * (width - len(s)) for _, s in rows])
    logits = model(input_ids=ids, attention_mask=(ids != pad).long()).logits[:, :-1]
    labels = ids[:, 1:].masked_fill(spoken[:, 1:] == 0, -100)
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100
    )
