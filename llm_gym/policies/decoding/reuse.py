"""Keys and values of replies that are finished, kept for the turns that follow.

The next prompt of an episode begins with the last one and its reply; what was computed
for those need not be computed again. Knows token ids and stored rows; knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_gym.policies.decoding.cache import StoredRow
from llm_gym.policies.decoding.prefill import Ids, as_ids, common_length

__all__ = ["ReuseStore"]


class ReuseStore:
    """A bounded store of rows, found by how their ids begin; the oldest go first.

    Args:
        limit_tokens: The most tokens that are kept, of all rows; 0 for none.
    """

    def __init__(self, limit_tokens: int) -> None:
        self._limit = limit_tokens
        self._rows: list[tuple[Ids, StoredRow]] = []  # the oldest first
        self._tokens = 0

    def __len__(self) -> int:
        """How many rows are kept."""
        return len(self._rows)

    @property
    def tokens(self) -> int:
        """How many tokens are kept."""
        return self._tokens

    def takes(self, tokens: int) -> bool:
        """Whether a row of so many tokens would be kept."""
        return 0 < tokens <= self._limit

    def add(self, ids: Sequence[int], row: StoredRow) -> None:
        """Keep a row that holds the given tokens; older ones give way to it."""
        self._rows.append((as_ids(ids), row))
        self._tokens += len(ids)
        while self._tokens > self._limit:
            self._drop(0)

    def longest(self, ids: Ids) -> int:
        """Return how many tokens the row that begins most like these shares."""
        return max((common_length(known, ids) for known, _ in self._rows), default=0)

    def take(self, ids: Ids) -> StoredRow:
        """Return the row that begins most like the given tokens.

        A row that goes no further than they do is handed over: whoever asks will hold
        all of it. Any other stays, as if it were new.

        Raises:
            ValueError: No row is kept.
        """
        lengths = [common_length(known, ids) for known, _ in self._rows]
        best = max(lengths)
        known, row = self._drop(len(lengths) - 1 - lengths[::-1].index(best))
        if best < len(known):
            self._rows.append((known, row))
            self._tokens += len(known)
        return row

    def clear(self) -> None:
        """Forget all rows."""
        self._rows.clear()
        self._tokens = 0

    def _drop(self, index: int) -> tuple[Ids, StoredRow]:
        known, row = self._rows.pop(index)
        self._tokens -= len(known)
        return known, row
