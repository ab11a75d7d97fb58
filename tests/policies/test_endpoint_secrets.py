"""A key is seen by its server and by nothing else, whatever happens."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import traceback
from dataclasses import replace

import pytest

from llm_gym.policies.endpoint import (
    AzureOptions,
    EndpointError,
    EndpointLimits,
    EndpointPolicy,
)
from llm_gym.policies.keys import Key, KeyNotFoundError
from llm_gym.rollouts.engine import rollout
from llm_gym.testing import Fault, FaultPlan, LocalServer, all_faults
from tests.sample_envs import VaultEnv

pytest.importorskip("aiohttp")

SECRET = "sk-very-secret-0123456789"
OTHER = "another-secret-987654321"
REQUEST = {"messages": [{"role": "user", "content": "hi"}]}
LIMITS = EndpointLimits(attempts=2, attempt_seconds=20, backoff_seconds=0.001)
SLOW = {Fault.SILENCE, Fault.SLOW_BODY}


@pytest.fixture
def log():
    """What is logged, by whomever, at any level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def policy_of(server, monkeypatch, **options):
    monkeypatch.setenv("SOME_KEY", SECRET)
    monkeypatch.setenv("OTHER_KEY", OTHER)
    headers = {"X-Auth-Token": Key.from_env("OTHER_KEY")}
    url = server.root_url if "azure" in options else server.url
    key = Key.from_env("SOME_KEY")
    options.setdefault("limits", LIMITS)
    return EndpointPolicy(url, "m", key=key, headers=headers, **options)


def told(err):
    """Return all that an error can tell: words, causes, traceback and its variables."""
    whole = traceback.TracebackException.from_exception(err, capture_locals=True)
    chain, lines = err, [repr(err), str(err), *whole.format(chain=True)]
    while chain is not None:
        lines += [repr(chain.args), repr(vars(chain))]
        chain = chain.__cause__ or chain.__context__
    return "".join(lines)


async def ask(policy):
    asyncio.get_running_loop().set_debug(True)
    return await policy.reply(REQUEST)


@pytest.mark.parametrize("fault", all_faults(), ids=lambda fault: fault.name)
def test_no_fault_tells_a_key(fault, monkeypatch, log):
    seconds = 0.2 if fault in SLOW else 20
    limits = replace(LIMITS, attempt_seconds=seconds, body_bytes=100_000)
    with LocalServer(["a"], key=SECRET, faults=FaultPlan(always=fault)) as server:
        policy = policy_of(server, monkeypatch, limits=limits)
        try:
            seen = repr(asyncio.run(ask(policy)))
        except Exception as err:  # noqa: BLE001  all that can come is looked at
            seen, before = told(err), err.__cause__ or err.__context__
        else:
            before = None
    assert before is None
    headers = policy._headers
    seen += log.getvalue() + repr(policy) + repr(vars(policy)) + repr(server.requests)
    seen += repr(vars(headers)) + repr(headers.reveal())
    assert "SOME_KEY" in seen
    assert "'Authorization': '***'" in seen
    assert SECRET not in seen
    assert OTHER not in seen
    assert SECRET not in pickle.dumps(policy).decode("latin-1")


def test_a_key_that_the_server_repeats_is_taken_out(monkeypatch):
    with LocalServer(["a"], faults=[Fault.UNAUTHORIZED]) as server:
        policy = policy_of(server, monkeypatch)
        with pytest.raises(EndpointError, match=r"API key provided: \*\*\*'"):
            asyncio.run(ask(policy))


@pytest.mark.parametrize("azure", [None, AzureOptions("m", "v1")])
def test_the_server_gets_the_key(azure, monkeypatch):
    with LocalServer(["a"], key=SECRET) as server:
        policy = policy_of(server, monkeypatch, **({"azure": azure} if azure else {}))
        asyncio.run(ask(policy))
    assert "***" in server.requests[0].headers.values()


def test_a_rollouts_records_hold_no_key(monkeypatch):
    faults = FaultPlan([Fault.UNAVAILABLE] * 2, rates={Fault.GARBAGE: 0.5})
    with LocalServer(["a"], key=SECRET, faults=faults) as server:
        policy = policy_of(server, monkeypatch)
        trajectories = list(rollout(VaultEnv, policy, episodes=6, retries=0))
    assert any(trajectory.fault for trajectory in trajectories)
    lines = "".join(trajectory.to_json() for trajectory in trajectories)
    assert SECRET not in lines + pickle.dumps(trajectories).decode("latin-1")


def test_a_key_that_went_away_is_told_without_a_request(monkeypatch):
    with LocalServer(["a"]) as server:
        policy = policy_of(server, monkeypatch)
        monkeypatch.delenv("SOME_KEY")
        with pytest.raises(KeyNotFoundError, match="variable 'SOME_KEY'"):
            asyncio.run(ask(policy))
    assert not server.requests


def test_a_key_in_a_redirect_is_not_followed(monkeypatch):
    with LocalServer(["a"], faults=[Fault.REDIRECT]) as server:
        policy = policy_of(server, monkeypatch)
        with pytest.raises(EndpointError, match="redirects"):
            asyncio.run(ask(policy))
    assert len(server.requests) == 1


def test_a_cancelled_call_tells_no_key(monkeypatch):
    async def cancelled(policy):
        task = asyncio.create_task(policy.reply(REQUEST))
        await asyncio.sleep(0.1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as err:
            return told(err)

    with LocalServer(["a"], faults=[Fault.SILENCE]) as server:
        policy = policy_of(server, monkeypatch)
        seen = asyncio.run(cancelled(policy))
    assert "Authorization" in seen or "headers" in seen
    assert SECRET not in seen


def test_a_body_holds_no_key(monkeypatch):
    with LocalServer(["a"]) as server:
        asyncio.run(ask(policy_of(server, monkeypatch)))
    assert SECRET not in json.dumps(server.requests[0].body)
