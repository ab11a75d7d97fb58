"""What can go wrong with a server, and when it does."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Fault", "FaultPlan", "all_faults"]


class Fault(Enum):
    """One thing that a server does instead of answering well."""

    CONTEXT_OVERFLOW = "context_overflow"
    """Status 400 with OpenAI's code for a prompt that is too long."""
    CONTEXT_OVERFLOW_WORDS = "context_overflow_words"
    """Status 400 with vLLM's words for it, and no code."""
    CONTENT_FILTER = "content_filter"
    """Status 400 with Azure's code for a prompt that its filter refuses."""
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    """Status 401; the message repeats the key, as some servers do."""
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    REQUEST_TIMEOUT = "request_timeout"
    """Status 408."""
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    """Status 429 with `Retry-After`."""
    QUOTA = "quota"
    """Status 429 with OpenAI's code for an account without money."""
    SERVER_ERROR = "server_error"
    BAD_GATEWAY = "bad_gateway"
    UNAVAILABLE = "unavailable"
    """Status 503 with `Retry-After`."""
    REDIRECT = "redirect"
    RESET = "reset"
    """The connection is reset before the answer."""
    SILENCE = "silence"
    """No answer, ever."""
    SLOW_BODY = "slow_body"
    """A byte at a time."""
    CUT_BODY = "cut_body"
    """The connection ends in the middle of the body."""
    GARBAGE = "garbage"
    """Random bytes as the body."""
    NOT_JSON = "not_json"
    """A page of HTML with status 200."""
    EMPTY_CHOICES = "empty_choices"
    ABORTED = "aborted"
    """An answer whose finish reason says that the engine gave up."""
    GIANT_BODY = "giant_body"
    """A body of hundreds of megabytes."""
    GZIP_BOMB = "gzip_bomb"
    """A small compressed body that grows a thousandfold."""
    WRONG_PROMPT_IDS = "wrong_prompt_ids"
    """Other prompt ids come back than were sent."""
    WRONG_IDS = "wrong_ids"
    """A sampled id that no vocabulary has."""
    FEW_LOGPROBS = "few_logprobs"
    """One log-probability less than ids."""
    NO_IDS = "no_ids"
    """No token ids, though asked for."""

    @property
    def ids_only(self) -> bool:
        """Whether it shows only where token ids were asked for."""
        return self in _IDS_ONLY


_IDS_ONLY = frozenset(
    {Fault.WRONG_PROMPT_IDS, Fault.WRONG_IDS, Fault.FEW_LOGPROBS, Fault.NO_IDS}
)


def all_faults() -> tuple[Fault, ...]:
    """Return every fault that the local server can inject."""
    return tuple(Fault)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which request meets which fault.

    Attributes:
        listed: The faults of the first requests, in their order of arrival; None for
            an answer as it should be.
        always: The fault of all requests after those, None for none.
        rates: The probability of each fault for requests after the listed ones.
        seed: Where the draws start; a request's number decides, not the clock.

    Raises:
        ValueError: The probabilities are below 0 or their sum is above 1.
    """

    listed: Sequence[Fault | None] = ()
    always: Fault | None = None
    rates: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        rates = self.rates.values()
        if any(rate < 0 for rate in rates) or sum(rates) > 1:
            raise ValueError(
                f"`rates` must be 0 or more, 1 at most in sum, not {dict(self.rates)}"
            )

    def fault_of(self, number: int) -> Fault | None:
        """Return what the request of this number meets, counted from 0."""
        if number < len(self.listed):
            return self.listed[number]
        if self.rates:
            draw = random.Random(f"{self.seed} {number}").random()  # noqa: S311
            for fault, rate in self.rates.items():
                draw -= rate
                if draw < 0:
                    return fault
        return self.always
