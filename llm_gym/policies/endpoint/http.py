"""One event loop's connections to servers, and one request at a time through them.

Whatever breaks on the way comes back as a `Broken`: nothing that aiohttp raises, which
would hold the headers, gets further. Why aiohttp: the pool of httpx looks at all its
queued requests whenever one ends.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require
from llm_gym.policies.endpoint.options import EndpointLimits

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "Broken", "Client", "Clients", "Slots"]

# Servers end idle connections too, uvicorn after 5 seconds; a request that crosses
# that end on its way is lost.
_KEEP_ALIVE_SECONDS = 4.0
_BURST = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: The status of HTTP.
        headers: Its headers, their names in lower case.
        body: Its whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """Why there is no answer.

    Attributes:
        what: What broke, in words.
        down: Whether the server may be down: another should be asked.
        mend: What the caller can do, "" where another attempt may do better.
    """

    what: str
    down: bool = True
    mend: str = ""


class Slots:
    """A bound on what is under way at once; who waits is served in order, in O(1).

    Of thousands that come at once only some begin in one turn of the event loop, so
    that it stays responsive, and answers arrive as spread out as requests left.

    Args:
        count: How many may be under way.
        burst: How many may begin in one turn of the event loop.
    """

    def __init__(self, count: int, burst: int = _BURST) -> None:
        self._free = count
        self._burst = self._may_begin = burst
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was this one's turn already
                self._give_back()
            raise

    async def __aexit__(self, *exception: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._free and self._may_begin:
            turn = self._waiting.popleft()
            if turn.done():  # whoever waited went away
                continue
            if self._may_begin == self._burst:
                turn.get_loop().call_soon(self._next_turn)
            self._free -= 1
            self._may_begin -= 1
            turn.set_result(None)

    def _next_turn(self) -> None:
        self._may_begin = self._burst
        self._serve()


class Client:
    """The connections of one event loop.

    Args:
        limits: See `EndpointLimits`.

    Attributes:
        slots: What a request must hold.
    """

    def __init__(self, limits: EndpointLimits) -> None:
        self._aiohttp: Any = require("aiohttp", extra="endpoint")
        self._limits = limits
        self.slots = Slots(limits.connections)
        # The slots are the limit: a connector's own queue would be a second one.
        connector = self._aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS
        )
        self._session: aiohttp.ClientSession = self._aiohttp.ClientSession(
            connector=connector,
            cookie_jar=self._aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent",),
        )

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()
        await asyncio.sleep(0)  # transports end in the loop's next turn

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer | Broken:
        """Send one request.

        Args:
            url: Where to.
            body: What to send.
            headers: With the key.
            seconds: The longest time until the answer's last byte.
        """
        timeout = self._aiohttp.ClientTimeout(
            total=seconds,
            sock_connect=self._limits.connect_seconds,
            ceil_threshold=2 * seconds + 60,  # not rounded up to a whole second
        )
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return await self._answer(response)
        except TimeoutError as err:
            connecting = isinstance(err, self._aiohttp.ConnectionTimeoutError)
            what = "no connection in" if connecting else "no whole answer in"
            limit = self._limits.connect_seconds if connecting else seconds
            return Broken(f"{what} {min(limit, seconds):.3g} seconds")
        except self._aiohttp.ClientPayloadError:
            return Broken("the answer was cut off")
        except self._aiohttp.ClientConnectorCertificateError as err:
            what = f"the server's certificate is not trusted: {err.certificate_error}"
            return Broken(what, mend="set SSL_CERT_FILE to who signed it")
        except (self._aiohttp.ClientError, OSError) as err:
            return _broken(err)

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer | Broken:
        headers = {name.lower(): value for name, value in response.headers.items()}
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            response.close()
            what = f"the answer came compressed ({encoding[:40]!r}), unasked"
            return Broken(what, down=False)
        most = self._limits.body_bytes
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                response.close()
                return Broken(f"the answer is longer than {most} bytes", down=False)
        return Answer(response.status, headers, bytes(body))


def _broken(err: Exception) -> Broken:
    """Say what went wrong below HTTP; aiohttp's own words may hold an address only."""
    number = getattr(err, "errno", None) or getattr(err.__cause__, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE):
        return Broken(
            "there are no file descriptors left",
            mend="lower `connections` in `EndpointLimits` or raise `ulimit -n`",
        )
    return Broken(f"{type(err).__name__}: {err}")


class Clients:
    """A client for each event loop that asks, closed with it.

    Args:
        limits: See `EndpointLimits`.
    """

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def get(self) -> Client:
        """Return the running loop's client."""
        loop = asyncio.get_running_loop()
        found = self._open.get(loop)
        if found is not None:
            return found.client
        for other in [loop for loop in self._open if loop.is_closed()]:
            del self._open[other]
        client = Client(self._limits)
        life = _life(client)
        self._open[loop] = _Open(client, life)
        await anext(life)
        return client

    async def close(self) -> None:
        """Close the running loop's client, and have those of others closed."""
        here = asyncio.get_running_loop()
        for loop, found in list(self._open.items()):
            del self._open[loop]
            if loop is here:
                await found.life.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(found.client.close(), loop)


@dataclass(frozen=True, slots=True)
class _Open:
    client: Client
    life: AsyncGenerator[None, None]


async def _life(client: Client) -> AsyncGenerator[None, None]:
    """Wait for the end of the event loop, which closes the generators that it began.

    `asyncio.run` and `asyncio.Runner` do, so nobody has to remember `close`.
    """
    try:
        yield
    finally:
        await client.close()
