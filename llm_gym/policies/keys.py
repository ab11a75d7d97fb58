"""Keys of servers: where they are kept, and that nobody sees them.

A key is read where it is needed, at the last moment. It is in no repr, no error, no
log and no pickle.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from llm_gym.errors import LLMGymError

__all__ = ["Key", "KeyNotFoundError", "hide"]


class KeyNotFoundError(LLMGymError, ValueError):
    """A key is not where it should be, or is no key; the message does not show it."""


class Secret(str):
    """A text whose repr hides it, for whatever shows the variables of a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Key:
    """A key or a token, told to its server and to nobody else.

    `Key("...")` holds the text itself and cannot be pickled, so that no file ever
    holds it; the other kinds know only where to look, and look again for each request.

    Args:
        value: The key. Better `Key.from_env` or `Key.from_file`.

    Raises:
        KeyNotFoundError: The text cannot be a key.

    Example:
        >>> policy = EndpointPolicy(url, "my-model", key=Key.from_env("OPENAI_API_KEY"))
    """

    __slots__ = ("_argument", "_source")

    def __init__(self, value: str) -> None:
        self._source = "a literal"
        self._argument: Any = _checked(value, "the key given as a text")

    @classmethod
    def from_env(cls, name: str) -> Key:
        """Return the key that an environment variable holds.

        Args:
            name: The variable's name.

        Raises:
            KeyNotFoundError: There is no such variable, or no key in it.
        """
        return cls._from("environment variable", name)

    @classmethod
    def from_file(cls, path: str | Path) -> Key:
        """Return the key that a file holds, white space around it left out.

        The file is read for each request, so the key may be renewed in it.

        Args:
            path: The file.

        Raises:
            KeyNotFoundError: There is no such file, or no key in it.
        """
        return cls._from("file", str(path))

    @classmethod
    def from_function(cls, function: Callable[[], str]) -> Key:
        """Return the key that a function returns, for tokens that expire.

        Args:
            function: Called for each request; it should keep the token while that is
                valid, and must not wait for long.

        Raises:
            KeyNotFoundError: What it returns is no key.
        """
        return cls._from("function", function)

    @classmethod
    def _from(cls, source: str, argument: Any) -> Key:
        key = cls.__new__(cls)
        key._source, key._argument = source, argument
        key.reveal()
        return key

    def reveal(self) -> Secret:
        """Return the key.

        Raises:
            KeyNotFoundError: It is no longer where it was.
        """
        if self._source == "environment variable":
            name = self._argument
            return _checked(os.environ.get(name, ""), f"environment variable {name!r}")
        if self._source == "file":
            return _checked(_read(self._argument), f"the file {self._argument!r}")
        if self._source == "function":
            return _checked(self._argument(), "what the key's function returned")
        secret: Secret = self._argument
        return secret

    def __repr__(self) -> str:
        if self._source in ("environment variable", "file"):
            return f"<Key from {self._source} {self._argument!r}>"
        return f"<Key from {self._source}>"

    def __reduce__(self) -> tuple[object, ...]:
        if self._source == "a literal":
            _refuse_pickle()
        return (Key._from, (self._source, self._argument))

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: object) -> Key:
        return self


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text without the secrets that a server may have repeated in it."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def _refuse_pickle() -> NoReturn:
    raise TypeError(
        "a `Key` that was given as a text is not pickled, so that no file holds it: "
        "use `Key.from_env` or `Key.from_file`"
    )


def _read(path: str) -> str:
    problem = "cannot be read"
    try:
        return Path(path).expanduser().read_text().strip()
    except OSError as err:
        problem = err.strerror or problem
    except UnicodeDecodeError:
        problem = "it is no text"  # the error itself would show some of it
    raise KeyNotFoundError(f"no key in the file {path!r}: {problem}")


_KEY = re.compile(r"[!-~]+")


def _checked(value: object, where: str) -> Secret:
    """Return a key that a header can carry; no message shows it."""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise KeyNotFoundError(f"{where} must be a str, not of type {kind}")
    if not value:
        raise KeyNotFoundError(f"there is no key in {where}, which is unset or empty")
    if not _KEY.fullmatch(value):
        raise KeyNotFoundError(
            f"a key must be printable ASCII without spaces; {where} holds other "
            f"characters ({len(value)} in all)"
        )
    return Secret(value)
