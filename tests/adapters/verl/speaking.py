"""Servers that follow a script, and the environments that are played."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gymnasium as gym

from llm_gym import ReadReply, Response, StopReason
from llm_gym.messages import call_text
from llm_gym.wrappers import ChatHistoryWindow
from tests.policies.tiny import END, HERMES, tiny_tokenizer
from tests.sample_envs import VaultEnv

__all__ = [
    "FORGETFUL",
    "RICH",
    "VAULT",
    "Asked",
    "ScriptedServer",
    "open_vault",
    "vault_tokenizer",
]

VAULT = "tests/VerlVault-v0"
FORGETFUL = "tests/VerlForgetful-v0"
RICH = "tests/VerlRich-v0"


def forgetful(**kwargs: Any) -> gym.Env[Any, Any]:
    """Return a vault that shows the last turn only: each prompt is a new segment."""
    return ChatHistoryWindow(VaultEnv(**kwargs), max_turns=1)


class RichEnv(VaultEnv):
    """A vault that rewards any answer with more than float32 can hold."""

    def respond(self, reply: ReadReply) -> Response:
        """End the episode."""
        return Response(reward=1e39, stop=StopReason.ANSWER)


gym.register(VAULT, entry_point=VaultEnv)
gym.register(RICH, entry_point=RichEnv)
gym.register(FORGETFUL, entry_point=forgetful)


@dataclass(frozen=True)
class Asked:
    """One request and what was sampled."""

    request_id: str
    prompt_ids: list[int]
    sampled_ids: list[int]
    logprobs: list[float]
    sampling: Mapping[str, Any]


class ScriptedServer:
    """Says what a function makes of the prompt's text, as VeRL's server manager does.

    Args:
        tokenizer: What prompts are read with.
        say: From the prompt's text and the number of the request to the reply; an
            exception that it returns is raised.
        ending: What each reply ends with.
        fields: What is told besides.

    Attributes:
        asked: All requests, in order.
    """

    def __init__(
        self,
        tokenizer: Any,
        say: Callable[[str, int], str | Exception],
        ending: str = END,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.say = say
        self.ending = ending
        self.fields = dict(fields or {})
        self.asked: list[Asked] = []

    async def generate(
        self,
        request_id: str,
        *,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        **told: Any,
    ) -> Any:
        """Return the reply's tokens, as many as are allowed."""
        said = self.say(self.tokenizer.decode(prompt_ids), len(self.asked))
        if isinstance(said, Exception):
            raise said
        ids = self.tokenizer(said + self.ending)["input_ids"]
        ids = ids[: sampling_params["max_tokens"]]
        logprobs = [-0.001 * (i + 1 + len(self.asked)) for i in range(len(ids))]
        told_ids = list(prompt_ids)
        self.asked.append(Asked(request_id, told_ids, ids, logprobs, sampling_params))
        return SimpleNamespace(
            token_ids=ids,
            log_probs=logprobs if sampling_params.get("logprobs") else None,
            stop_reason="completed",
            num_preempted=1,
            routed_experts=None,
            extra_fields=dict(self.fields),
        )


def open_vault(text: str, number: int) -> str:
    """Look the code up, then open the vault: what earns a reward of 1."""
    found = re.search(r"<tool_response>(\d+)", text)
    if found:
        return call_text("open", {"code": int(found.group(1))})
    asked = re.search(r"Open the (\w+) vault", text)
    return call_text("lookup", {"colour": asked.group(1) if asked else "red"})


def vault_tokenizer() -> Any:
    """Return a tokenizer whose template knows tools."""
    return tiny_tokenizer(HERMES)
