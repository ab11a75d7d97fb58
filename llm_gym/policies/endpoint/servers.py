"""Which of several servers is asked: an episode's turns go to one, while it is up.

A server keeps what it read of an episode (its prefix cache), so the next turn is
cheapest there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from llm_gym.messages import ChatRequest
from llm_gym.tokens.trace import TokenTrace

__all__ = ["Home", "Server", "Servers"]

_REST_SECONDS = 2.0
_MOST_REST_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Server:
    """One server.

    Attributes:
        url: Its base URL.
        failures: How often it failed in a row.
        rests_until: When it is asked again, on the monotonic clock.
    """

    url: str
    failures: int = 0
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Home:
    """Where an episode belongs.

    Attributes:
        ranking: The servers in the order in which it prefers them.
        trace: What tells the episode from others, None where there is no trace.
    """

    ranking: Sequence[Server]
    trace: TokenTrace | None


class Servers:
    """Gives each episode a server of its own, and another while that is down.

    Episodes are told apart by their traces, which are dealt out in turn. Without a
    trace by what they begin with, up to the first message of the user; these are dealt
    out by a hash (rendezvous hashing), the same in every process.

    Args:
        urls: The servers' base URLs.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.all = tuple(Server(url) for url in urls)
        self._next = 0
        self._homes: WeakKeyDictionary[TokenTrace, int] = WeakKeyDictionary()

    def home(self, request: ChatRequest, trace: TokenTrace | None) -> Home:
        """Return where an episode belongs."""
        if len(self.all) == 1:
            return Home(self.all, None)
        if trace is None:
            beginning = _beginning(request)
            ranking = sorted(self.all, key=lambda one: _weight(one, beginning))
            return Home(ranking, None)
        first = self._homes.get(trace)
        if first is None:
            first = self._homes[trace] = self._next
            self._next = (self._next + 1) % len(self.all)
        return Home((*self.all[first:], *self.all[:first]), trace)

    def pick(self, home: Home) -> Server:
        """Return the server to ask: the first that is up, or the first of all."""
        if len(home.ranking) == 1:
            return home.ranking[0]
        now = time.monotonic()
        up = (server for server in home.ranking if server.rests_until <= now)
        server = next(up, home.ranking[0])
        if home.trace is not None:  # it stays where its tokens now are
            self._homes[home.trace] = self.all.index(server)
        return server

    def failed(self, server: Server) -> None:
        """Let a server rest, longer each time."""
        rest = min(_REST_SECONDS * 2.0**server.failures, _MOST_REST_SECONDS)
        server.failures = min(server.failures + 1, 10)
        server.rests_until = time.monotonic() + rest

    def answered(self, server: Server) -> None:
        """Note that a server is up."""
        server.failures, server.rests_until = 0, 0.0


def _beginning(request: ChatRequest) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for message in request["messages"]:
        digest.update(
            f"{message['role']}\0{message['content']}\0".encode(errors="surrogatepass")
        )
        if message["role"] == "user":
            break
    return digest.digest()


def _weight(server: Server, beginning: bytes) -> bytes:
    return hashlib.blake2b(server.url.encode() + beginning, digest_size=8).digest()
