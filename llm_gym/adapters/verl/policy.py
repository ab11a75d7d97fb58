"""A policy that samples with VeRL's servers: token ids in, token ids out.

Knows what VeRL's server manager takes and returns, and how many tokens a row has room
for; what an episode's tokens are is the trace's affair.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import uuid4

from llm_gym import jsontext
from llm_gym.env import ToolEnv
from llm_gym.errors import PolicyFault
from llm_gym.messages import ChatRequest, Reply, Usage
from llm_gym.tokens.chat_tokens import ChatTokens, Prompt
from llm_gym.tokens.trace import TokenTrace

__all__ = ["Budget", "EpisodePolicy", "ServerPolicy", "chat_tokens_of"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a row of VeRL's batches holds.

    A prompt that is longer than its part goes on in the response's, with mask 0: the
    model reads the same ids in the same order.

    Attributes:
        prompt_tokens: `rollout.prompt_length`.
        response_tokens: `rollout.response_length`: all replies of an episode and what
            the environment adds between them.
        reply_tokens: The most tokens of one reply; None leaves all that is left.
    """

    prompt_tokens: int
    response_tokens: int
    reply_tokens: int | None = None

    def room(self, prompt: Prompt, trace: TokenTrace | None) -> int:
        """Return the most tokens of the reply to a prompt; below 1 there is no room."""
        begun = prompt.added is not None and trace is not None
        start = len(trace.prompt_ids) if begun and trace else len(prompt.ids)
        used = len(prompt.ids) - min(start, self.prompt_tokens)
        left = self.response_tokens - used
        return left if self.reply_tokens is None else min(left, self.reply_tokens)


class ServerPolicy:
    """Replies with VeRL's server manager.

    Args:
        server: What has `async generate(request_id, *, prompt_ids, sampling_params)`.
        tokenizer: The tokenizer of the model, with its chat template.
        sampling: The settings of sampling that VeRL's worker handed over.
        budget: How many tokens there is room for.
        chat_template_kwargs: `data.apply_chat_template_kwargs`.
        request_id: Of all requests of an episode, so that they reach one server; None
            makes one up.
        priority: What the server is told of the row's turn; 0 tells nothing.

    Attributes:
        name: What records call it.
        latest: The policy of the last episode that began, None before the first.
    """

    name = "verl"

    def __init__(
        self,
        server: Any,
        tokenizer: Any,
        sampling: Mapping[str, Any],
        budget: Budget,
        *,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        priority: int = 0,
    ) -> None:
        self.server = server
        self.sampling = dict(sampling)
        self.budget = budget
        self.request_id = request_id
        self.told = {"priority": priority} if priority else {}
        self.latest: EpisodePolicy | None = None
        self._chat = _chat_of(tokenizer, jsontext.canonical(chat_template_kwargs or {}))

    def bind(self, env: ToolEnv, episode: int = 0) -> EpisodePolicy:
        """Return the policy for one attempt at an episode."""
        request_id = self.request_id or uuid4().hex
        self.latest = EpisodePolicy(self, self._chat.tokens, request_id)
        return self.latest

    def learn_stop(self, stop_id: int) -> ChatTokens:
        """Know from now on that the engine ends replies with a token."""
        self._chat.tokens = self._chat.tokens.with_stops({stop_id})
        return self._chat.tokens


@dataclass(slots=True)
class EpisodePolicy:
    """Replies in one episode, and what VeRL wants to know of it afterwards.

    Attributes:
        owner: What it was bound by.
        tokens: How requests become ids and ids become replies.
        request_id: Of all its requests.
        seconds: The time that was waited for the server.
        preempted: How often the engine preempted a request, -1 if it does not say.
        fields: What the server told besides tokens; of the versions of the weights
            the first and the last.
        routed: For each segment the experts that its last request went through, where
            the engine records them.
        refused_tokens: The length of the first prompt, if it left no room at all.
    """

    owner: ServerPolicy
    tokens: ChatTokens
    request_id: str
    seconds: float = 0.0
    preempted: int = -1
    fields: dict[str, Any] = field(default_factory=dict)
    routed: dict[int, Any] = field(default_factory=dict)
    refused_tokens: int | None = None

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request; see `llm_gym.policies.Policy`.

        Raises:
            PolicyFault: The server failed, or what it returned cannot be trained on.
        """
        prompt = self.tokens.prompt(request, trace)
        room = self.owner.budget.room(prompt, trace)
        if room < 1:
            if not trace:
                self.refused_tokens = len(prompt.ids)
            return Reply("", "length", Usage(len(prompt.ids), 0))
        output = await self._generate(prompt.ids, room)
        ids = list(output.token_ids)[:room]
        logprobs = self._logprobs(output, len(ids))
        if len(ids) < room and ids[-1] not in self.tokens.stop_ids:
            self.tokens = self.owner.learn_stop(ids[-1])
        reply = self.tokens.reply(request, prompt, ids, logprobs=logprobs, trace=trace)
        if trace is not None:
            self._keep(output, len(trace.segments) - 1)
        return reply

    async def _generate(self, ids: list[int], room: int) -> Any:
        sampling = {
            **self.owner.sampling,
            "max_tokens": room,
            "stop_token_ids": sorted(self.tokens.stop_ids),
        }
        began = time.perf_counter()
        try:
            output = await self.owner.server.generate(
                self.request_id,
                prompt_ids=ids,
                sampling_params=sampling,
                **self.owner.told,
            )
        except Exception as err:  # a server in another process raises anything
            raise PolicyFault(f"VeRL's server failed: {err!r}") from err
        finally:
            self.seconds += time.perf_counter() - began
        if output.stop_reason in ("aborted", "abort") or not output.token_ids:
            raise PolicyFault(
                "VeRL's server returned no whole reply: "
                f"{len(output.token_ids)} tokens, stop reason {output.stop_reason!r}"
            )
        return output

    def _logprobs(self, output: Any, count: int) -> list[float] | None:
        """Return the log-probabilities if they were asked for: as many as tokens."""
        if not self.owner.sampling.get("logprobs"):
            return None
        told = output.log_probs
        if told is None or len(told) != len(output.token_ids):
            came = "none" if told is None else len(told)
            raise PolicyFault(
                "VeRL's server was asked for log-probabilities and returned "
                f"{came} for {len(output.token_ids)} tokens"
            )
        return list(told)[:count]

    def _keep(self, output: Any, segment: int) -> None:
        told = dict(output.extra_fields)
        told.setdefault("min_global_steps", told.get("global_steps"))
        told.setdefault("max_global_steps", told.get("global_steps"))
        first = self.fields.get("min_global_steps")
        self.fields.update(told)
        if first is not None:
            self.fields["min_global_steps"] = first
        if output.num_preempted is not None:
            self.preempted = max(self.preempted, 0) + output.num_preempted
        if output.routed_experts is not None:
            self.routed[segment] = output.routed_experts


def chat_tokens_of(
    tokenizer: Any, chat_template_kwargs: Mapping[str, Any] | None = None
) -> ChatTokens:
    """Return the `ChatTokens` of a tokenizer, made once: it tries the template out."""
    return _chat_of(tokenizer, jsontext.canonical(chat_template_kwargs or {})).tokens


@dataclass(slots=True)
class _Chat:
    """The tokens of a tokenizer, which may come to know more ends of replies."""

    tokens: ChatTokens


@lru_cache(maxsize=8)
def _chat_of(tokenizer: Any, chat_template_kwargs: str) -> _Chat:
    name = str(getattr(tokenizer, "name_or_path", "") or "the model")
    arguments = jsontext.loads(chat_template_kwargs)
    if arguments:
        tokenizer = _WithArguments(tokenizer, arguments)
    return _Chat(ChatTokens(tokenizer, name))


class _WithArguments:
    """A tokenizer whose chat template always gets some arguments more."""

    def __init__(self, tokenizer: Any, arguments: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._tokenizer(*args, **kwargs)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:
        return self._tokenizer.apply_chat_template(*args, **self._arguments, **kwargs)
