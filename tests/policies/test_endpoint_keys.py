"""Keys: read where they are kept, shown nowhere."""

from __future__ import annotations

import copy
import pickle

import pytest

from llm_gym.policies.endpoint.headers import Headers
from llm_gym.policies.keys import Key, KeyNotFoundError, hide

SECRET = "sk-very-secret-0123456789"


def renewed() -> str:
    return SECRET


def test_a_key_from_the_environment_is_read_each_time(monkeypatch):
    monkeypatch.setenv("SOME_KEY", SECRET)
    key = Key.from_env("SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "another")
    assert key.reveal() == "another"


def test_a_key_from_a_file_is_read_each_time_without_white_space(tmp_path):
    path = tmp_path / "key"
    path.write_text(f" {SECRET}\n")
    key = Key.from_file(path)
    assert key.reveal() == SECRET
    path.write_text("renewed")
    assert key.reveal() == "renewed"


def test_a_key_from_a_function_is_asked_for_each_time():
    keys = iter([SECRET, "second", "third"])
    key = Key.from_function(lambda: next(keys))
    assert [key.reveal(), key.reveal()] == ["second", "third"]


def kinds(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", SECRET)
    path = tmp_path / "key"
    path.write_text(SECRET)
    lasting = [Key.from_env("SOME_KEY"), Key.from_file(path)]
    return [*lasting, Key.from_function(renewed), Key(SECRET)]


def test_no_repr_shows_a_key(tmp_path, monkeypatch):
    keys = kinds(tmp_path, monkeypatch)
    shown = "".join([repr(keys), *(repr([key.reveal()]) for key in keys)])
    assert "SOME_KEY" in shown
    assert SECRET not in shown


def test_pickles_say_only_where_a_key_is(tmp_path, monkeypatch):
    for key in kinds(tmp_path, monkeypatch)[:3]:
        data = pickle.dumps(key)
        assert SECRET.encode() not in data
        assert pickle.loads(data).reveal() == SECRET


def test_a_key_given_as_a_text_is_not_pickled_but_copied():
    key = Key(SECRET)
    assert copy.copy(key) is copy.deepcopy(key) is key
    with pytest.raises(TypeError, match=r"not pickled.*use `Key.from_env`"):
        pickle.dumps(key)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Key.from_env("NO_SUCH_KEY"), "no key in environment variable 'NO_S"),
        (lambda: Key.from_file("/no/such/file"), "no key in the file.*No such file"),
        (lambda: Key.from_function(lambda: None), "must be a str, not of type NoneT"),
        (lambda: Key(""), "there is no key in the key given as a text"),
        (lambda: Key(f"{SECRET}\nX: y"), r"printable ASCII.*\(30 in all\)"),
        (lambda: Key(f"{SECRET}é"), "printable ASCII without spaces"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(make, message):
    with pytest.raises(KeyNotFoundError, match=message) as caught:
        make()
    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_text_is_refused_without_a_cause(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(KeyNotFoundError, match="it is no text") as caught:
        Key.from_file(path)
    assert caught.value.__context__ is None


def test_hide_takes_secrets_out_and_leaves_the_rest():
    assert hide(f"key {SECRET}!", [SECRET, ""]) == "key ***!"


def test_headers_keep_what_their_names_call_a_secret():
    headers = Headers(Key("k1"), "api-key", "", {"X-Auth-Token": SECRET, "X-Team": "a"})
    assert headers.names == ["X-Auth-Token", "X-Team"]
    assert headers.reveal()["X-Auth-Token"] == SECRET
    assert SECRET not in repr(headers.reveal())
    assert sorted(headers.secrets()) == ["k1", SECRET]


@pytest.mark.parametrize(
    ("custom", "error", "message"),
    [
        ({"Host": "a"}, ValueError, "may not hold 'Host'"),
        ({"bad name": "a"}, ValueError, "may not hold 'bad name'"),
        ({"X-A": "a\r\nb"}, ValueError, "'X-A' must be printable ASCII"),
        ({"X-A": 3}, TypeError, "'X-A' must be a str or a `Key`, not of type int"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(custom, error, message):
    with pytest.raises(error, match=message):
        Headers(None, "Authorization", "", custom)
