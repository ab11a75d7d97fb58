"""A real OpenAI-compatible server on this machine, for tests: scripts and faults.

It listens on a port of 127.0.0.1 and speaks chat completions, completions, Responses,
Azure's paths and vLLM's token ids. It has no model: it says what a script says.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from llm_gym.errors import require
from llm_gym.testing.faults import Fault, FaultPlan
from llm_gym.testing.forms import Api, Asked, answer, asked
from llm_gym.testing.speech import Line, Script, as_codec, speak
from llm_gym.testing.trouble import TRANSPORT_FAULTS, Refusal, refusal, spoil

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["LocalServer", "ServedRequest"]

_SECRET = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """A request that came.

    Attributes:
        number: Its number, from 0, in the order of arrival.
        path: Where it was sent.
        query: The query of its address.
        headers: Its headers, names in lower case; secrets are "***".
        body: Its JSON.
        fault: What it met.
    """

    number: int
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    fault: Fault | None


class LocalServer:
    """A server with a script in place of a model, in a thread of its own.

    Args:
        script: Replies in their order, of which the last is repeated for ever: where a
            request holds messages, the number of replies in them says which is next,
            else the number of requests; or a function from the request's body to the
            reply; None echoes the user's last words.
        faults: What goes wrong, as a plan or as its list.
        delay_seconds: How long replies take: a number, or the ends of a uniform draw.
        key: The key that requests must give, None for any.
        model: The model that requests must name, None for any.
        tokenizer: A tokenizer of transformers; None counts bytes as tokens.
        context_tokens: The longest prompt and reply together; a longer request is
            refused as too long. None for no limit.
        retry_after: The `Retry-After` of faults that have one.
        port: Where to listen; 0 takes a free port.
        keep_requests: How many requests `requests` holds, the last ones.

    Attributes:
        requests: The requests that came.

    Raises:
        MissingDependencyError: aiohttp is not installed.

    Example:
        >>> with LocalServer(["The answer is 4."]) as server:
        ...     policy = EndpointPolicy(server.url, "any-model")
        ...     trajectories = list(rollout(env_id, policy, episodes=8))
    """

    def __init__(
        self,
        script: Script = None,
        *,
        faults: FaultPlan | Sequence[Fault | None] = (),
        delay_seconds: float | tuple[float, float] = 0.0,
        key: str | None = None,
        model: str | None = None,
        tokenizer: Any | None = None,
        context_tokens: int | None = None,
        retry_after: str = "0",
        port: int = 0,
        keep_requests: int = 10_000,
    ) -> None:
        self._web: Any = require("aiohttp.web", extra="endpoint")
        self._script = _checked(script)
        plan = faults if isinstance(faults, FaultPlan) else FaultPlan(list(faults))
        self._faults = plan
        ends = delay_seconds if isinstance(delay_seconds, tuple) else (delay_seconds,)
        self._delay = (ends[0], ends[-1])
        self._key, self._model = key, model
        self._codec = as_codec(tokenizer)
        self._context_tokens = context_tokens
        self._retry_after = retry_after
        self._port = port
        self.requests: deque[ServedRequest] = deque(maxlen=keep_requests)
        self._numbers = itertools.count()
        self._completions = itertools.count()
        self._random = random.Random(0)  # noqa: S311  only for delays
        self._thread: threading.Thread | None = None

    @property
    def root_url(self) -> str:
        """The address without the API's prefix, as Azure's clients take it."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The address with the API's prefix, for `EndpointPolicy`."""
        return f"{self.root_url}/v1"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server's thread and wait until it listens.

        Raises:
            OSError: The port is taken.
        """
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(started)),
            name="llm_gym-local-server",
            daemon=True,
        )
        self._thread.start()
        self._loop, self._over = started.result()

    def stop(self) -> None:
        """Stop the server: connections end, whatever they wait for."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
            self._thread = None

    async def _live(
        self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
    ) -> None:
        over = asyncio.Event()
        try:
            async with self.listening():
                started.set_result((asyncio.get_running_loop(), over))
                await over.wait()
        except OSError as err:
            started.set_exception(err)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve in the running event loop; give the address.

        Raises:
            OSError: The port is taken.
        """
        runner = self._web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.01,  # 0 would wait for ever
        )
        await runner.setup()
        try:
            # A long queue: thousands may connect at the same moment.
            site = self._web.TCPSite(runner, "127.0.0.1", self._port, backlog=16_384)
            await site.start()
            self._port = runner.addresses[0][1]
            yield self.url
        finally:
            await runner.cleanup()

    def _app(self) -> Any:
        app = self._web.Application(client_max_size=64 * 2**20)
        post = app.router.add_post
        post("/v1/chat/completions", self._handler("chat"))
        post("/v1/completions", self._handler("completions"))
        post("/v1/responses", self._handler("responses"))
        azure = "/openai/deployments/{deployment}/chat/completions"
        post(azure, self._handler("chat", azure=True))
        post("/openai/responses", self._handler("responses", azure=True))
        post("/tokenize", self._tokenize)
        return app

    def _handler(self, api: Api, *, azure: bool = False) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            number = next(self._numbers)
            fault = self._faults.fault_of(number)
            self.requests.append(_served(number, request, body, fault))
            problem = self._problem(request, body, azure)
            if problem is not None:
                return self._refuse(problem)
            await asyncio.sleep(self._random.uniform(*self._delay))
            return await self._answer(api, request, body, fault)

        return handle

    async def _answer(
        self, api: Api, request: web.Request, body: Any, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None:
            problem = refusal(fault, self._retry_after, _key_of(request))
            if problem is not None:
                return self._refuse(problem)
        try:
            question = asked(api, body, self._codec)
        except ValueError as err:
            return self._refuse(Refusal(400, str(err)))
        problem = self._overflow(question)
        if problem is not None:
            return self._refuse(problem)
        line = self._line(question, body)
        spoken = speak(line, question.prompt_ids, self._codec, question.most_tokens)
        told = answer(api, spoken, body)
        if fault is None:
            return self._json(told)
        response = self._json(spoil(fault, told))
        if fault in TRANSPORT_FAULTS:
            body_bytes = json.dumps(told).encode()
            return await TRANSPORT_FAULTS[fault](request, body_bytes, 0.02)
        return response

    def _line(self, question: Asked, body: Mapping[str, Any]) -> Line:
        if self._script is None:
            return question.last_user
        if callable(self._script):
            return self._script(body)
        place = question.turns
        if place is None:
            place = next(self._completions)
        return self._script[min(place, len(self._script) - 1)]

    def _problem(self, request: web.Request, body: Any, azure: bool) -> Refusal | None:
        """Say what is wrong with a request before its content is looked at."""
        if self._key is not None and _key_of(request) != self._key:
            return Refusal(401, f"incorrect API key provided: {_key_of(request)}")
        if azure and "api-version" not in request.query:
            return Refusal(404, "Resource not found")
        named = request.match_info.get("deployment") or (
            body.get("model") if isinstance(body, dict) else None
        )
        if self._model is not None and named != self._model:
            return Refusal(404, f"the model {named!r} does not exist")
        return None

    def _overflow(self, question: Asked) -> Refusal | None:
        most, read = self._context_tokens, len(question.prompt_ids)
        if most is None or read + (question.most_tokens or 1) <= most:
            return None
        words = (
            f"This model's maximum context length is {most} tokens. However, your "
            f"request has {read} input tokens."
        )
        return Refusal(400, words, "context_length_exceeded")

    async def _tokenize(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        ids = self._codec.encode(str(body.get("prompt", "")))
        limit = self._context_tokens
        return self._json({"tokens": ids, "count": len(ids), "max_model_len": limit})

    def _json(self, value: Any, **options: Any) -> web.Response:
        response: web.Response = self._web.json_response(value, **options)
        return response

    def _refuse(self, problem: Refusal) -> web.Response:
        headers = dict(problem.headers)
        return self._json(problem.body(), status=problem.status, headers=headers)


def _checked(script: Script) -> Script:
    one_line = isinstance(script, (str, Mapping))
    if one_line or not (script is None or callable(script) or script):
        raise ValueError(
            f"a script must be a function or at least one reply, not {script!r}"
        )
    return script


def _key_of(request: web.Request) -> str:
    given = request.headers.get("api-key") or request.headers.get("Authorization", "")
    return str(given).removeprefix("Bearer ")


def _served(
    number: int, request: web.Request, body: Any, fault: Fault | None
) -> ServedRequest:
    headers = {
        name.lower(): "***" if _SECRET.search(name) else value
        for name, value in request.headers.items()
    }
    query = dict(request.query)
    return ServedRequest(number, request.path, query, headers, body, fault)
