"""A policy that asks a server over HTTP.

Knows what a user sets; the forms of requests are in `chat`, `responses` and
`token_ids`, attempts in `sender`, connections in `http`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

from llm_gym.errors import require
from llm_gym.messages import ChatRequest, Reply
from llm_gym.policies.endpoint.chat import ChatForm
from llm_gym.policies.endpoint.headers import Headers
from llm_gym.policies.endpoint.options import (
    AzureOptions,
    EndpointBody,
    EndpointLimits,
)
from llm_gym.policies.endpoint.responses import ResponsesForm
from llm_gym.policies.endpoint.sender import Letter, Sender
from llm_gym.policies.endpoint.servers import Servers
from llm_gym.policies.endpoint.token_ids import TokenForm
from llm_gym.policies.endpoint.wire import Form
from llm_gym.policies.keys import Key
from llm_gym.policies.sampling import Sampling
from llm_gym.tokens.trace import TokenTrace

__all__ = ["EndpointPolicy"]

Api = Literal["chat", "responses", "tokens"]


class EndpointPolicy:
    """Replies with a model behind an OpenAI-compatible server.

    A prompt that the server refuses as too long is a reply cut off ("length"); many
    count `max_new_tokens` with it. One that a filter refuses has the finish reason
    "content_filter". Statuses 401, 403 and 404
    raise at once; 408, 409 and 429 wait as long as the server asks; 5xx, lost
    connections, timeouts and answers that are no replies are tried again, up to the
    limits. Redirects are not followed, compressed answers not read, and proxies of the
    environment not used.

    Connections belong to the event loop that asks and are closed with it, by
    `asyncio.run` and by `rollout`; `close`, or `async with`, does it earlier.

    Each request has a seed of its own, made from the policy's seed, the conversation
    and how often it was sent, so that a group's members differ; whether a server heeds
    it is the server's affair.

    Args:
        base_url: The server's address with the API's prefix, such as
            "http://localhost:8000/v1"; or several: an episode's turns go to one.
        model: The model's name at the server; for Azure None takes the deployment's.
        api: "chat" for chat completions; "responses" for OpenAI's Responses API;
            "tokens" for vLLM's completions with token ids, which fill the trace.
        sampling: The settings of sampling. What the API cannot do raises.
        key: The server's key or token, None if it asks for none.
        azure: For Azure OpenAI; the base URL is then the resource's.
        headers: More headers; give secrets as `Key`.
        body: What requests hold beyond that.
        limits: Connections, attempts and seconds.
        tokenizer: The model's tokenizer, for "tokens" alone.

    Attributes:
        name: The model's name, for records.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of range, or does not go with another.
        MissingDependencyError: aiohttp is not installed.

    Example:
        >>> key = Key.from_env("OPENAI_API_KEY")
        >>> url = "https://api.openai.com/v1"
        >>> policy = EndpointPolicy(url, "gpt-4.1-mini", key=key)
        >>> for trajectory in rollout("llmgym/MultiStep-v0", policy, episodes=64):
        ...     print(trajectory.episode_return)
    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        model: str | None = None,
        *,
        api: Api = "chat",
        sampling: Sampling | None = None,
        key: Key | None = None,
        azure: AzureOptions | None = None,
        headers: Mapping[str, str | Key] | None = None,
        body: EndpointBody | None = None,
        limits: EndpointLimits | None = None,
        tokenizer: Any | None = None,
    ) -> None:
        require("aiohttp", extra="endpoint")
        self._urls = _checked_urls(base_url)
        self.name = _checked_model(model, azure)
        if key is not None and not isinstance(key, Key):
            raise TypeError(
                '`key` must be a `Key`, such as `Key.from_env("OPENAI_API_KEY")`, '
                f"not of type {type(key).__name__}"
            )
        self._api, self._azure = api, azure
        self._sampling = Sampling() if sampling is None else sampling
        self._body = EndpointBody() if body is None else body
        self._check_omitted()
        self._form = self._make_form(tokenizer)
        named = azure is not None and not azure.bearer
        place = ("api-key", "") if named else ("Authorization", "Bearer ")
        self._headers = Headers(key, *place, headers or {})
        self._limits = EndpointLimits() if limits is None else limits
        self._asked: Counter[bytes] = Counter()
        self._sender = self._make_sender()

    async def reply(
        self, request: ChatRequest, trace: TokenTrace | None = None
    ) -> Reply:
        """Reply to a request.

        Args:
            request: The observation.
            trace: The episode's tokens, appended to by the API "tokens" alone. It also
                tells episodes apart where there are several servers.

        Raises:
            EndpointError: The server refuses what only the caller can mend.
            KeyNotFoundError: The key is no longer where it was.
            ChatTemplateError: The tokenizer's template refuses the conversation.
            PolicyFault: No attempt brought a reply.
        """

        def write() -> Letter:
            return self._letter(request, trace)

        return await self._sender.send(write)

    async def close(self) -> None:
        """Close the connections; another reply would open new ones."""
        await self._sender.clients.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        urls = ", ".join(self._urls)
        return f"<EndpointPolicy {self.name!r} api={self._api!r} at {urls}>"

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_sender"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._sender = self._make_sender()

    def _letter(self, request: ChatRequest, trace: TokenTrace | None) -> Letter:
        call = self._form.call(request, trace)
        payload = json.dumps(call.body, separators=(",", ":"), allow_nan=False).encode()
        if self._form.seeded:  # told after the rest, from which it is made
            payload = payload[:-1] + b',"seed":%d}' % self._seed(payload)
        return Letter(call, payload, self._sender.servers.home(request, trace))

    def _check_omitted(self) -> None:
        """Refuse settings that differ from the default and would not be sent."""
        kept = set(self._sampling.__slots__) - set(self._body.omit)
        self._sampling.require_only(*kept, engine="an endpoint told to omit it")

    def _make_form(self, tokenizer: Any) -> Form:
        if (tokenizer is None) == (self._api == "tokens"):
            raise ValueError(
                '`tokenizer` must be given with `api="tokens"` and with no other, '
                f"not {type(tokenizer).__name__} with {self._api!r}"
            )
        settings = (self.name, self._sampling, self._body)
        if self._api == "tokens":
            if self._azure is not None:
                raise ValueError('Azure has no `api="tokens"`: use "chat"')
            return TokenForm(*settings, tokenizer)
        if self._api == "responses":
            return ResponsesForm(*settings)
        if self._api == "chat":
            return ChatForm(*settings, self._length_field())
        raise ValueError(
            f'`api` must be "chat", "responses" or "tokens", not {self._api!r}'
        )

    def _length_field(self) -> str:
        if self._body.length_field is not None:
            return self._body.length_field
        hosts = [urlsplit(url).hostname or "" for url in self._urls]
        new = self._azure is not None or any(map(_OPENAI.search, hosts))
        return "max_completion_tokens" if new else "max_tokens"

    def _make_sender(self) -> Sender:
        return Sender(
            self.name, Servers(self._urls), self._target, self._headers, self._limits
        )

    def _target(self, url: str) -> str:
        if self._azure is None:
            return url + self._form.path
        version = quote(self._azure.api_version, safe="")
        place = f"/deployments/{quote(self._azure.deployment, safe='')}"
        if self._api == "responses":
            place = ""  # the deployment is the body's `model`
        return f"{url}/openai{place}{self._form.path}?api-version={version}"

    def _seed(self, payload: bytes) -> int:
        """Return the seed of the next request with this body, of 31 bits.

        Servers keep seeds in 32 or 64 bits, or as floats.
        """
        asked = hashlib.blake2b(payload, digest_size=8).digest()
        count = self._asked[asked]
        self._asked[asked] = count + 1
        mixed = f"{self._sampling.seed} {count} ".encode() + asked
        digest = hashlib.blake2b(mixed, digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 33


_OPENAI = re.compile(r"(^|\.)openai\.(azure\.)?com$")


def _checked_urls(base_url: str | Sequence[str]) -> tuple[str, ...]:
    given = (base_url,) if isinstance(base_url, str) else tuple(base_url)
    if not given:
        raise ValueError("`base_url` must be an address or several, not none")
    return tuple(_checked_url(url) for url in given)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not shown: what stands there is often a key.
        raise ValueError(
            f"`base_url` of the host {parts.hostname!r} may hold no user, password, "
            "query or fragment: give a `key`, `headers` or `azure`"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"`base_url` must be like 'http://localhost:8000/v1', not {url!r}"
        )
    return url.rstrip("/")


def _checked_model(model: str | None, azure: AzureOptions | None) -> str:
    name = azure.deployment if model is None and azure is not None else model
    if not isinstance(name, str) or not name:
        raise ValueError(f"`model` must be the model's name, not {model!r}")
    return name
