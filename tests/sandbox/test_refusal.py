"""Where an isolation lacks what it stands on, nothing runs; a message says why."""

from __future__ import annotations

import json

import pytest

from llm_gym.sandbox import open_sandbox
from tests.sandbox.guard import guarded
from tests.sandbox.test_attacks import USERS

pytestmark = pytest.mark.parametrize("user", USERS)


def opened(user: str, tiers: str, *refused: str) -> dict:
    """Open a sandbox in a process that may not make some system calls."""
    ran = guarded("tests.sandbox.refusing", tiers, *refused, user=user, seconds=60.0)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def test_nothing_is_refused_by_default(user):
    assert opened(user, "ns,landlock") == {"isolation": "ns", "stdout": "True\n"}


def test_without_namespaces_the_landlock_tier_is_taken(user):
    said = opened(user, "ns,landlock", "unshare")
    assert said == {"isolation": "landlock", "stdout": "True\n"}


def test_without_landlock_and_namespaces_nothing_runs(user):
    said = opened(user, "ns,landlock", "landlock_create_ruleset", "unshare")
    message = said["refused"]
    assert "no isolation of this machine proves itself" in message
    assert "ns: " in message
    assert "landlock: " in message
    assert "max_user_namespaces" in message  # a remedy


def test_namespaces_hold_without_landlock_too(user):
    # `test_attacks.py` runs the corpus there.
    said = opened(user, "ns", "landlock_create_ruleset")
    assert said == {"isolation": "ns", "stdout": "True\n"}


@pytest.mark.parametrize(
    ("tier", "refused"),
    [
        ("landlock", "landlock_create_ruleset"),
        ("ns", "unshare"),
        ("ns", "mount"),
        ("ns", "seccomp"),
        ("landlock", "seccomp"),
    ],
)
def test_a_tier_without_one_of_its_layers_refuses_itself(user, tier, refused):
    assert f"{tier}: " in opened(user, tier, refused)["refused"]


def test_unsafe_needs_its_variable_too(user, monkeypatch):
    monkeypatch.delenv("LLM_GYM_UNSAFE_SANDBOX", raising=False)
    with pytest.raises(ValueError, match="LLM_GYM_UNSAFE_SANDBOX=1"):
        open_sandbox(unsafe=True)


def test_unsafe_is_stamped_on_every_result(user, monkeypatch):
    monkeypatch.setenv("LLM_GYM_UNSAFE_SANDBOX", "1")
    with open_sandbox(unsafe=True, zygotes=1) as sandbox:
        assert sandbox.isolation == "unsafe"
        assert sandbox.run("print(1)").isolation == "unsafe"
        with sandbox.session() as session:
            assert session.execute("1").isolation == "unsafe"
