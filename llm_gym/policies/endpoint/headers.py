"""The headers of a request, some of which nobody may see."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llm_gym.policies.keys import Key, Secret

__all__ = ["Headers"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET = re.compile(r"auth|key|token|secret|cookie|pass|credential", re.IGNORECASE)
_OURS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "llm_gym",
}
_RESERVED = frozenset(
    {"host", "content-length", "transfer-encoding", "accept-encoding"}
)


class Headers:
    """What is sent with each request.

    Args:
        key: The server's key, None if it asks for none.
        key_header: The name of the header that holds it.
        key_prefix: What stands before it there.
        custom: Headers of the user's. One whose name speaks of a secret is kept as
            one, also where it was given as a text.

    Raises:
        TypeError: A value is neither a text nor a `Key`.
        ValueError: A name or a text cannot be in a header, or the policy writes it.
    """

    def __init__(
        self,
        key: Key | None,
        key_header: str,
        key_prefix: str,
        custom: Mapping[str, str | Key],
    ) -> None:
        self._key, self._key_header, self._key_prefix = key, key_header, key_prefix
        self._plain = dict(_OURS)
        self._secret: dict[str, Key] = {}
        for name, value in custom.items():
            self._add(name, value)

    def _add(self, name: str, value: object) -> None:
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise ValueError(f"`headers` may not hold {name!r}")
        if not isinstance(value, (str, Key)):
            kind = type(value).__name__
            raise TypeError(
                f"the header {name!r} must be a str or a `Key`, not of type {kind}"
            )
        if isinstance(value, Key) or _SECRET.search(name):
            self._secret[name] = _as_key(value)
        elif value.isprintable() and value.isascii():
            self._plain[name] = value
        else:
            raise ValueError(f"the header {name!r} must be printable ASCII")

    @property
    def names(self) -> list[str]:
        """The names of the user's headers."""
        return sorted((self._plain.keys() - _OURS.keys()) | self._secret.keys())

    def reveal(self) -> dict[str, str]:
        """Return the headers as they are sent.

        Raises:
            KeyNotFoundError: A key is no longer where it was.
        """
        headers = dict(self._plain)
        if self._key is not None:
            headers[self._key_header] = Secret(self._key_prefix + self._key.reveal())
        for name, key in self._secret.items():
            headers[name] = key.reveal()
        return headers

    def secrets(self) -> list[str]:
        """Return what nobody may see, for it to be taken out of what servers say."""
        keys = [*self._secret.values(), *([self._key] if self._key else [])]
        return [key.reveal() for key in keys]


def _as_key(value: str | Key) -> Key:
    return value if isinstance(value, Key) else Key(value)
