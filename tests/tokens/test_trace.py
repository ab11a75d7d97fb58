"""Token traces: appended to, never changed."""

import pytest

from llm_gym.tokens import Segment, Span, TokenTrace
from llm_gym.tokens.trace import ids_hash


def two_turns() -> TokenTrace:
    """Return a trace of a prompt, a reply, what was added, and a reply."""
    trace = TokenTrace()
    trace.begin([1, 2])
    trace.sampled([3, 4], [-0.5, -0.25])
    trace.read([5])
    trace.sampled([6], [-1.0])
    return trace


def test_mask_is_one_on_sampled_ids() -> None:
    trace = two_turns()
    assert trace.ids == [1, 2, 3, 4, 5, 6]
    assert trace.mask == [0, 0, 1, 1, 0, 1]
    assert trace.logprobs == [0.0, 0.0, -0.5, -0.25, 0.0, -1.0]
    assert trace.prompt_ids == [1, 2]
    (segment,) = trace.segments
    assert (segment.prompt_ids, segment.sampled_ids) == ((1, 2), (3, 4, 6))


def test_sample_is_prompt_and_completion() -> None:
    (sample,) = two_turns().to_samples()
    assert (sample.prompt_ids, sample.completion_ids) == ((1, 2), (3, 4, 5, 6))
    assert sample.mask == (1, 1, 0, 1)
    assert sample.logprobs == (-0.5, -0.25, 0.0, -1.0)
    assert sample.turns == (0, 1)


def test_new_segment_begins_where_history_was_rewritten() -> None:
    trace = two_turns()
    trace.begin([9], "why")
    assert (trace.ids, trace.prompt_ids, trace.mask) == ([9], [9], [0])
    assert len(trace.to_samples()) == 1  # no reply yet in the new one
    trace.sampled([8])
    record = trace.record()
    assert record.breaks == ("why",)
    assert [s.turns for s in record.to_samples()] == [(0, 1), (2,)]
    assert trace.logprobs is None
    assert record.segments[0].logprobs == (-0.5, -0.25, -1.0)


def test_no_log_probability_of_a_segment_is_kept_if_one_is_missing() -> None:
    trace = two_turns()
    trace.sampled([7])
    trace.sampled([8], [-1.0])
    (sample,) = trace.to_samples()
    assert sample.logprobs is None


def test_what_is_given_out_is_a_copy() -> None:
    trace = two_turns()
    for ids in (trace.ids, trace.prompt_ids):
        ids.append(7)
    trace.begin([1])
    trace.prompt_ids.append(2)
    assert trace.segments[0].ids == (1, 2, 3, 4, 5, 6)
    assert trace.ids == [1]


def test_empty_trace_is_false_and_must_begin() -> None:
    trace = TokenTrace()
    assert not trace
    assert two_turns()
    assert trace.record().segments == ()
    with pytest.raises(ValueError, match="the trace is empty: `begin` it"):
        trace.read([1])


def test_log_probabilities_must_match_ids() -> None:
    trace = two_turns()
    with pytest.raises(ValueError, match="each of 2 sampled tokens, came 1"):
        trace.sampled([1, 2], [-1.0])
    assert trace.turns == 2
    with pytest.raises(ValueError, match="each of 1 sampled tokens, came 0"):
        Segment((1, 2), (Span(0, 1, 2),), ())


@pytest.mark.parametrize("edges", [[(1, 4)], [(2, 1)], [(0, 2), (1, 3)], [(-1, 1)]])
def test_spans_must_follow_each_other(edges: list[tuple[int, int]]) -> None:
    spans = tuple(Span(0, *edge) for edge in edges)
    with pytest.raises(ValueError, match="spans must follow each other within 3 ids"):
        Segment((1, 2, 3), spans)


def test_hashes_tell_ids_and_their_segments_apart() -> None:
    record = two_turns().record()
    assert record.ids_hash == ids_hash([[1, 2, 3, 4, 5, 6]])
    assert record.ids_hash != record.mask_hash
    assert ids_hash([[1, 2], [3]]) != ids_hash([[1], [2, 3]])
    assert ids_hash([]) != ids_hash([[]])
