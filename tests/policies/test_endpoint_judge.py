"""What answers mean, without any server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from llm_gym.policies.endpoint.http import Answer, Broken
from llm_gym.policies.endpoint.judge import Kind, judge, retry_after


def answer(status, body=b"{}", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def error(message="no", **more):
    return {"error": {"message": message, **more}}


VLLM_WORDS = (
    "This model's maximum context length is 2048 tokens. However, you requested 9 "
    "tokens (1 in the messages, 8 in the completion)."
)

TOO_MANY_ASKED = (
    "max_tokens=4096 cannot be greater than max_model_len=2048. Please request fewer "
    "output tokens."
)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(200), Kind.READ),
        (answer(200, b"<html>"), Kind.AGAIN),
        (answer(200, b"\xff\x00\xfe"), Kind.AGAIN),
        (answer(200, b"[" * 100_000), Kind.AGAIN),
        (answer(204, b""), Kind.BAD_REQUEST),
        (answer(400, error()), Kind.BAD_REQUEST),
        (answer(400, error(code="context_length_exceeded")), Kind.OVERFLOW),
        (answer(400, error(type="exceed_context_size_error")), Kind.OVERFLOW),
        (answer(400, {"object": "error", "message": VLLM_WORDS}), Kind.OVERFLOW),
        (answer(400, error("max_tokens must be at least 1, got -7")), Kind.OVERFLOW),
        (answer(422, error("longer than the model's context length")), Kind.OVERFLOW),
        (answer(400, error(TOO_MANY_ASKED)), Kind.BAD_REQUEST),
        (answer(500, error(VLLM_WORDS)), Kind.AGAIN),
        (answer(400, error(code="content_filter")), Kind.FILTERED),
        (answer(401), Kind.REFUSED),
        (answer(403), Kind.REFUSED),
        (answer(404), Kind.REFUSED),
        (answer(302), Kind.REFUSED),
        (answer(429, error(code="insufficient_quota")), Kind.REFUSED),
        (answer(408), Kind.AGAIN),
        (answer(409), Kind.AGAIN),
        (answer(429), Kind.AGAIN),
        (answer(500), Kind.AGAIN),
        (answer(529), Kind.AGAIN),
        (answer(405), Kind.BAD_REQUEST),
        (Broken("lost"), Kind.AGAIN),
        (Broken("lost", mend="do it"), Kind.REFUSED),
    ],
)
def test_an_answer_means(given, kind):
    assert judge(given).kind is kind


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (error("no way"), "status 400: 'no way'"),
        ({"detail": "Not here"}, "status 400: 'Not here'"),
        ("just text", "status 400: 'just text'"),
        (b"<h1>no</h1>", "status 400: '<h1>no</h1>'"),
        ({"error": "words"}, "status 400: 'words'"),
        ({"x": 1}, "status 400: {'x': 1}"),
    ],
)
def test_an_error_is_told_in_the_servers_words(body, words):
    assert judge(answer(400, body)).what == words


def test_only_a_server_in_trouble_is_down():
    downs = [judge(answer(status)).down for status in (200, 400, 429, 500, 503)]
    assert downs == [False, False, False, True, True]
    assert judge(Broken("lost")).down


def test_an_overflow_tells_the_context():
    assert judge(answer(400, error(VLLM_WORDS))).context_tokens == 2048


NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Tue, 01 Jan 2030 12:00:09 GMT"}, 9.0),
        ({"retry-after": "Tue, 01 Jan 2030 12:00:09 -0000"}, 9.0),
        ({"retry-after": "Tue, 01 Jan 2030 11:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_a_date_is_measured_by_the_servers_own_clock():
    headers = {
        "date": "Tue, 01 Jan 2030 12:00:00 GMT",
        "retry-after": "Tue, 01 Jan 2030 12:01:00 GMT",
    }
    assert retry_after(headers) == 60.0
