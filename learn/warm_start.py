"""The warm start: how calls are written, and nothing of which call is right.

The teacher is an agent that knows the form of an episode alone: it hands what a
question is about to a tool drawn at random, until one of them tells it something, draws
one of the two codes that it was told, says which, and submits it. It never sees a
reward or an answer, and only its replies are learned from, right or wrong alike. What
is learned is to speak: names of tools, JSON, that arguments are copied, and that one
looks up before one submits.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import torch

from learn.tiny import SIGNS, SPECIAL, make_model, make_tokenizer
from llm_gym import rollout
from llm_gym.messages import ChatRequest, Message, Reply, ToolSchema, call_text

__all__ = ["RandomCaller", "warm_start"]

STEPS, BATCH, EPISODES, LR, SUBMISSIONS = 200, 64, 1000, 5e-3, 6.0

SAYS = ("one", "not the first but the second one")
"""What the teacher says before it submits the first or the second code.

A model this small copies from a fixed distance. The second says six words more, and
what stands between the codes are six, so that either code is equally far back; when
both were said alike, the two were mixed up sign by sign.
"""

_CODE = re.compile(r"\b[A-HJ-NP-Z][A-HJ-NP-Z2-9]{4}\b")
_TERM = re.compile(rf"{_CODE.pattern}|\b[A-Z][a-z]+ [A-Z][a-z]+\b")

Row = tuple[list[int], list[float]]


class RandomCaller:
    """The teacher.

    Args:
        seed: Decides what it draws.
    """

    name = "random-caller"

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    async def reply(self, request: ChatRequest, trace: Any = None) -> Reply:
        """Look something up by a tool drawn at random, or submit what was told."""
        question, *later = request["messages"]
        told = [m["content"] or "" for m in later if m["role"] == "tool"]
        codes = [code for text in told if not text.startswith("Error")
                 for code in _CODE.findall(text)]  # fmt: skip
        tools = [tool["function"] for tool in request["tools"]]
        looks = [tool for tool in tools if tool["name"] != "submit"]
        if codes:
            which = self.random.randrange(len(SAYS))
            submission = call_text("submit", {"answer": codes[which]})
            return Reply(SAYS[which] + submission, "stop")
        tool = self.random.choice(looks)
        (argument,) = tool["parameters"]["properties"]
        term = self.random.choice(_TERM.findall(question["content"] or ""))
        return Reply(call_text(tool["name"], {argument: term}), "stop")


def warm_start(
    env_id: str,
    env_kwargs: dict[str, Any],
    seed: int,
    *,
    steps: int = STEPS,
    episodes: int = EPISODES,
) -> tuple[Any, Any]:
    """Make a model and its tokenizer, and teach it to speak.

    Args:
        env_id: The environment.
        env_kwargs: What it is made with; its training split is played.
        seed: Decides weights, episodes and batches.
        steps: Steps of the optimiser.
        episodes: How many the teacher plays.

    Returns:
        The model and the tokenizer.
    """
    played = rollout(
        env_id,
        RandomCaller(seed),
        episodes=episodes,
        seed=seed,
        env_kwargs=env_kwargs,
        concurrency=1,  # the teacher draws in the order of the episodes
    )
    texts = [_render(one.messages, one.tools) for one in played]
    marks = re.compile("|".join(map(re.escape, SPECIAL)))
    tokenizer = make_tokenizer(part for text in texts for part in marks.split(text))
    model = make_model(tokenizer, seed)
    _train(model, tokenizer, texts, seed, steps)
    return model, tokenizer


def _render(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Return a conversation as the template writes it."""
    parts = ["<|tools|>", " ".join(sorted(tool["function"]["name"] for tool in tools))]
    for message in messages:
        parts.append(f"<|{message['role']}|>{message['content'] or ''}")
        for call in message.get("tool_calls") or []:
            function = call["function"]
            about = (
                f'"name": "{function["name"]}", "arguments": {function["arguments"]}'
            )
            parts.append(f"<tool_call>\n{{{about}}}\n</tool_call>")
        parts.append("<|end|>")
    return "".join(parts)


def _row(tokenizer: Any, ids: list[int]) -> Row:
    """Return the ids up to the end of the last reply, and how much each counts.

    Only replies count. Submissions are rare, so they count more; which tools were
    called before them does not, for that would tell which call was right.
    """
    begin = tokenizer.convert_tokens_to_ids("<|assistant|>")
    words = tokenizer.convert_ids_to_tokens(ids)
    weights, weight = [], 0.0
    for place, token in enumerate(ids):
        weights.append(weight)
        if token == begin:
            submits = words[place + 1].startswith(("one", "not"))
            weight = SUBMISSIONS if submits else 1.0
        elif token == tokenizer.eos_token_id:
            weight = 0.0
    end = max(place for place, weight in enumerate(weights) if weight) + 1
    return ids[:end], weights[:end]


def _with_other_codes(text: str, chance: random.Random) -> str:
    """Put fresh codes in place of a conversation's, each in all its places."""
    fresh: dict[str, str] = {}

    def other(found: re.Match[str]) -> str:
        code = chance.choice(SIGNS[:24]) + "".join(chance.choices(SIGNS, k=4))
        return fresh.setdefault(found.group(), code)

    return _CODE.sub(other, text)


def _train(
    model: Any, tokenizer: Any, texts: Sequence[str], seed: int, steps: int
) -> None:
    chance = random.Random(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.0
    )
    model.train()
    for step in range(steps):
        falling = min(1.0, 2.5 * (1 - step / steps))
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / 20) * falling
        some = [_with_other_codes(t, chance) for t in chance.sample(texts, BATCH)]
        rows = [_row(tokenizer, ids) for ids in tokenizer(some)["input_ids"]]
        loss = _loss(model, rows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"warm start, step {step}: loss {loss.item():.3f}", flush=True)
    model.eval()


def _loss(model: Any, rows: Sequence[Row]) -> Any:
    """Return the weighted mean of the tokens' losses; padding is on the right."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
    weights = torch.tensor([w + [0.0] * (width - len(w)) for _, w in rows])[:, 1:]
    own = weights > 0
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][own]
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(hidden), ids[:, 1:][own], reduction="none"
    )
    return (losses * weights[own]).sum() / weights[own].sum()
