"""Sending a call until it brings a reply, and telling what happened if none came.

Knows attempts, waits and servers; knows neither messages nor tokens.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from llm_gym.errors import PolicyFault
from llm_gym.messages import Reply
from llm_gym.policies.endpoint.headers import Headers
from llm_gym.policies.endpoint.http import Answer, Broken, Client, Clients
from llm_gym.policies.endpoint.judge import Kind, Verdict, judge
from llm_gym.policies.endpoint.options import EndpointError, EndpointLimits
from llm_gym.policies.endpoint.servers import Home, Server, Servers
from llm_gym.policies.endpoint.wire import Call, WireError
from llm_gym.policies.keys import hide

__all__ = ["Letter", "Sender"]


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent for one reply.

    Attributes:
        call: What reads the answer.
        payload: The body.
        home: Where the episode belongs.
    """

    call: Call
    payload: bytes
    home: Home


@dataclass(slots=True)
class _Effort:
    """What one reply has taken so far.

    Attributes:
        attempts: Requests sent.
        seconds: Time of those and of the waits between; not that for a slot.
        letter: What is sent, None before the first attempt.
        server: The one that was asked last.
    """

    attempts: int = 0
    seconds: float = 0.0
    letter: Letter | None = None
    server: Server | None = None


@dataclass(slots=True)
class Sender:
    """Sends calls to servers.

    Attributes:
        name: What errors call the model.
        servers: Where to.
        target: Makes the whole URL from a server's base URL.
        headers: Sent with each request.
        limits: See `EndpointLimits`.
        clients: The connections, for each event loop.
        heard: Whether any server has ever answered with a reply.
    """

    name: str
    servers: Servers
    target: Callable[[str], str]
    headers: Headers
    limits: EndpointLimits
    clients: Clients = field(init=False)
    heard: bool = field(init=False, default=False)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.clients = Clients(self.limits)
        self._random = random.Random(self.limits.seed)  # noqa: S311  only for waits

    async def send(self, write: Callable[[], Letter]) -> Reply:
        """Send a call until it brings a reply.

        Args:
            write: Makes what is sent. It is called when it is this call's turn: of
                thousands of calls that wait, each body would take memory.

        Raises:
            EndpointError: The server refuses what only the caller can mend.
            PolicyFault: No attempt brought a reply.
        """
        client = await self.clients.get()
        effort = _Effort()
        while True:
            async with client.slots:
                letter = effort.letter = effort.letter or write()
                outcome = await self._attempt(client, letter, effort)
            if isinstance(outcome, Reply):
                self.heard = True
                return outcome
            if outcome.kind is not Kind.AGAIN:
                return self._ending(outcome, letter.call)
            wait = self._wait(outcome, letter.home, effort)
            if wait is None:
                raise self._fault(outcome, effort)
            effort.seconds += wait
            await asyncio.sleep(wait)

    async def _attempt(
        self, client: Client, letter: Letter, effort: _Effort
    ) -> Reply | Verdict:
        """Send a request; return a reply, or what came instead of it."""
        limits = self.limits
        server = effort.server = self.servers.pick(letter.home)
        began = time.monotonic()
        seconds = min(limits.attempt_seconds, limits.reply_seconds - effort.seconds)
        # Cleaned at once: no variable below may hold what a server repeated.
        answer = self._cleaned(
            await client.post(
                self.target(server.url), letter.payload, self.headers.reveal(), seconds
            )
        )
        effort.seconds += time.monotonic() - began
        effort.attempts += 1
        verdict = judge(answer)
        if verdict.down:
            self.servers.failed(server)
        elif verdict.kind is not Kind.AGAIN:
            self.servers.answered(server)
        if verdict.kind is not Kind.READ:
            return verdict
        try:
            return letter.call.read(verdict.content)
        except WireError as err:
            return Verdict(Kind.AGAIN, f"the answer is no reply: {err}")

    def _cleaned(self, answer: Answer | Broken) -> Answer | Broken:
        """Return an answer without the keys that the server may have repeated."""
        if isinstance(answer, Broken):
            return answer
        secrets = self.headers.secrets()
        headers = {k: hide(v, secrets) for k, v in answer.headers.items()}
        body = answer.body
        for secret in secrets:
            body = body.replace(secret.encode(), b"***")
        return Answer(answer.status, headers, body)

    def _ending(self, verdict: Verdict, call: Call) -> Reply:
        """Return the reply that a verdict stands for, or raise what it means."""
        mend = verdict.mend
        if verdict.kind is Kind.OVERFLOW:
            if verdict.context_tokens > call.most_tokens:
                return Reply("", "length", call.usage)
            mend = (
                f"lower `max_new_tokens`, which is {call.most_tokens}, or every reply "
                "would be cut off before it begins"
            )
        if verdict.kind is Kind.FILTERED:
            return Reply("", "content_filter", call.usage)
        words = f"the endpoint of `{self.name}` refuses: {verdict.what}; {mend}"
        if verdict.kind is Kind.BAD_REQUEST and self.heard:
            # Requests of this kind work: it is this episode that the server refuses.
            raise PolicyFault(words)
        raise EndpointError(words)

    def _wait(self, verdict: Verdict, home: Home, effort: _Effort) -> float | None:
        """Return how long to wait before another attempt, None if there is none."""
        limits = self.limits
        if effort.attempts >= limits.attempts:
            return None
        if self.servers.pick(home) is not effort.server:
            return 0.0  # another server has not failed yet
        if verdict.wait_seconds is None:
            doubled = limits.backoff_seconds * 2.0 ** min(effort.attempts - 1, 30)
            wait = min(doubled, limits.most_wait_seconds)
            wait *= 1 - self._random.random() / 2
        else:
            # Spread out: all who were told the same would come back at once.
            wait = verdict.wait_seconds * (1 + self._random.random() / 10)
            wait = min(wait, limits.most_wait_seconds)
        return wait if effort.seconds + wait < limits.reply_seconds else None

    def _fault(self, verdict: Verdict, effort: _Effort) -> PolicyFault:
        times = "1 attempt" if effort.attempts == 1 else f"{effort.attempts} attempts"
        return PolicyFault(
            f"the endpoint of `{self.name}` gave no reply in {times}; "
            f"the last: {verdict.what}"
        )
