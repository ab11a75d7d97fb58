"""EndpointPolicy against the shipped server: faults, retries, servers, event loops."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import resource
import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from llm_gym.errors import PolicyFault
from llm_gym.messages import Usage
from llm_gym.policies.endpoint import (
    AzureOptions,
    EndpointBody,
    EndpointError,
    EndpointLimits,
    EndpointPolicy,
)
from llm_gym.policies.endpoint.judge import Kind, Verdict
from llm_gym.policies.endpoint.sender import _Effort
from llm_gym.policies.keys import Key
from llm_gym.policies.sampling import Sampling
from llm_gym.replies import read_reply
from llm_gym.rollouts.engine import rollout
from llm_gym.testing import Fault, FaultPlan, LocalServer, all_faults
from llm_gym.tokens.trace import TokenTrace
from tests.sample_envs import VaultEnv

pytest.importorskip("aiohttp")

QUICK = EndpointLimits(
    attempts=3, attempt_seconds=20, backoff_seconds=0.001, body_bytes=100_000, seed=0
)
HASTY = replace(QUICK, attempt_seconds=0.3)
SLOW = {Fault.SILENCE, Fault.SLOW_BODY}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
ADD = {"name": "add", "description": "Add.", "parameters": {"type": "object"}}


def request(text="hi", **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def ask(policy, text="hi", trace=None):
    return asyncio.run(policy.reply(request(text), trace))


def text_of(reply):
    return read_reply(reply).text


LENGTH = {Fault.CONTEXT_OVERFLOW, Fault.CONTEXT_OVERFLOW_WORDS}
CALLERS = {
    Fault.BAD_REQUEST: "status 400: .*top_p.*see `Sampling` and `EndpointBody`",
    Fault.UNAUTHORIZED: "status 401: .*check the `key`",
    Fault.FORBIDDEN: "status 403: .*check what the `key` may do",
    Fault.NOT_FOUND: "status 404: .*check the `base_url`, .* and the `model`",
    Fault.QUOTA: "status 429: .*quota is used up",
    Fault.REDIRECT: "redirects to '/elsewhere'.*give the final address",
}
BROKEN = {
    Fault.REQUEST_TIMEOUT: "status 408",
    Fault.CONFLICT: "status 409",
    Fault.RATE_LIMIT: "status 429",
    Fault.SERVER_ERROR: "status 500",
    Fault.BAD_GATEWAY: "status 502",
    Fault.UNAVAILABLE: "status 503",
    Fault.RESET: "reset by peer",
    Fault.SILENCE: "no whole answer in 0.3 seconds",
    Fault.SLOW_BODY: "no whole answer in 0.3 seconds",
    Fault.CUT_BODY: "the answer was cut off",
    Fault.GARBAGE: "the answer is no JSON",
    Fault.NOT_JSON: "the answer is no JSON: b'<html>",
    Fault.EMPTY_CHOICES: "the answer is no reply: expected one choice",
    Fault.ABORTED: "known finish reason, came 'abort'",
    Fault.GIANT_BODY: "longer than 100000 bytes",
    Fault.GZIP_BOMB: r"compressed \('gzip'\), unasked",
}


def test_every_fault_has_an_expectation():
    told = LENGTH | CALLERS.keys() | BROKEN.keys() | {Fault.CONTENT_FILTER}
    assert {fault for fault in all_faults() if not fault.ids_only} == told


@pytest.mark.parametrize("fault", sorted(BROKEN, key=lambda fault: fault.name))
def test_a_fault_that_lasts_becomes_a_policy_fault(fault):
    with LocalServer(["a"], faults=FaultPlan(always=fault)) as server:
        limits = HASTY if fault in SLOW else QUICK
        policy = EndpointPolicy(server.url, "m", limits=limits)
        with pytest.raises(PolicyFault, match=f"3 attempts; .*{BROKEN[fault]}"):
            ask(policy)
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", sorted(BROKEN, key=lambda fault: fault.name))
def test_a_fault_that_passes_is_survived(fault):
    with LocalServer(["a"], faults=[fault, None, fault, None]) as server:
        limits = HASTY if fault in SLOW else QUICK
        policy = EndpointPolicy(server.url, "m", limits=limits)
        assert text_of(ask(policy)) == "a"
        assert text_of(ask(policy)) == "a"
    assert len(server.requests) == 4


@pytest.mark.parametrize("fault", sorted(CALLERS, key=lambda fault: fault.name))
def test_the_callers_mistake_is_raised_at_once(fault):
    with LocalServer(["a"], faults=[fault]) as server:
        policy = EndpointPolicy(server.url, "m", limits=QUICK)
        with pytest.raises(EndpointError, match=f"of `m` refuses: .*{CALLERS[fault]}"):
            ask(policy)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", sorted(LENGTH, key=lambda fault: fault.name))
def test_a_context_overflow_is_a_reply_cut_off(fault):
    with LocalServer(["a"], faults=[fault]) as server:
        reply = ask(EndpointPolicy(server.url, "m"))
    assert (reply.message, reply.finish_reason) == ("", "length")


def test_a_reply_limit_beyond_the_context_is_the_callers_mistake():
    with LocalServer(["a"], faults=[Fault.CONTEXT_OVERFLOW_WORDS]) as server:
        policy = EndpointPolicy(server.url, "m", sampling=Sampling(2048))
        with pytest.raises(
            EndpointError, match="lower `max_new_tokens`, which is 2048"
        ):
            ask(policy)


def test_a_filtered_prompt_is_a_reply_taken_away():
    with LocalServer(["a"], faults=[Fault.CONTENT_FILTER]) as server:
        reply = ask(EndpointPolicy(server.url, "m"))
    assert reply.finish_reason == "content_filter"


def test_a_request_refused_after_others_worked_is_a_fault_of_its_episode():
    with LocalServer(["a"], faults=[None, Fault.BAD_REQUEST]) as server:
        policy = EndpointPolicy(server.url, "m")
        ask(policy)
        with pytest.raises(PolicyFault, match="refuses: status 400"):
            ask(policy)
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_a_policy_fault():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(PolicyFault, match="Cannot connect"):
            ask(EndpointPolicy(url, "m", limits=QUICK))


def test_retry_after_is_honoured_up_to_the_limit():
    plan = [Fault.RATE_LIMIT, None]
    waits = {}
    for asked in ("0", "0.15", "3600"):
        limits = EndpointLimits(attempts=2, most_wait_seconds=0.3)
        with LocalServer(["a"], faults=plan, retry_after=asked) as server:
            policy = EndpointPolicy(server.url, "m", limits=limits)

            async def timed(policy=policy):
                began = asyncio.get_running_loop().time()
                await policy.reply(request())
                return asyncio.get_running_loop().time() - began

            waits[asked] = asyncio.run(timed())
    assert waits["0.15"] >= 0.15
    assert 0.3 <= waits["3600"] < 60


def test_all_attempts_for_one_reply_have_a_deadline():
    limits = EndpointLimits(attempts=1000, reply_seconds=0.2, backoff_seconds=0.01)
    with LocalServer(["a"], faults=FaultPlan(always=Fault.SERVER_ERROR)) as server:
        policy = EndpointPolicy(server.url, "m", limits=limits)
        with pytest.raises(PolicyFault, match="gave no reply in"):
            ask(policy)
    assert len(server.requests) < 100


def test_waits_grow_with_a_seeded_random_part():
    def waits(seed):
        limits = EndpointLimits(backoff_seconds=1, most_wait_seconds=4, seed=seed)
        sender = EndpointPolicy("http://h/v1", "m", limits=limits)._sender
        home = sender.servers.home(request(), None)
        efforts = [_Effort(n, server=home.ranking[0]) for n in range(1, 6)]
        verdict = Verdict(Kind.AGAIN)
        return [sender._wait(verdict, home, effort) for effort in efforts]

    first = waits(1)
    assert first == waits(1) != waits(2)
    for wait, most in zip(first, [1, 2, 4, 4, 4], strict=True):
        assert most / 2 <= wait <= most


def test_tools_go_out_and_calls_come_back():
    line = {"content": "", "tool_calls": [CALL], "reasoning_content": "hm"}
    tools = [{"type": "function", "function": ADD}]
    with LocalServer([line]) as server:
        policy = EndpointPolicy(server.url, "m")
        reply = asyncio.run(policy.reply(request(tools=tools)))
    assert server.requests[0].body["tools"] == tools
    assert read_reply(reply).calls[0].name == "add"
    assert read_reply(reply).reasoning == "hm"
    assert reply.finish_reason == "tool_calls"
    assert reply.usage.prompt_tokens > 0


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_environment_is_played_through_either_api(api):
    script = [
        {
            "content": "",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "lookup", "arguments": '{"colour": "red"}'},
                }
            ],
        },
        "I give up.",
    ]
    with LocalServer(script) as server:
        policy = EndpointPolicy(server.url, "m", api=api)
        trajectories = list(rollout(VaultEnv, policy, episodes=3))
    assert [len(t.turns) for t in trajectories] == [2, 2, 2]
    assert {t.turns[0].calls[0].status for t in trajectories} == {"ok"}
    assert trajectories[0].run.policy == "m"


@pytest.mark.parametrize(
    ("bearer", "header"), [(False, "api-key"), (True, "authorization")]
)
def test_azure_has_its_own_paths_and_headers(bearer, header):
    azure = AzureOptions("my deployment", "2024-10-21", bearer=bearer)
    with LocalServer(["a"], key="k1", model="my deployment") as server:
        policy = EndpointPolicy(server.root_url, azure=azure, key=Key("k1"))
        assert text_of(ask(policy)) == "a"
    seen = server.requests[0]
    assert seen.path == "/openai/deployments/my deployment/chat/completions"
    assert seen.query == {"api-version": "2024-10-21"}
    assert header in seen.headers
    assert "max_completion_tokens" in seen.body


def test_azure_responses_name_the_deployment_in_the_body():
    azure = AzureOptions("d1", "2025-03-01-preview")
    with LocalServer(["a"], model="d1") as server:
        policy = EndpointPolicy(server.root_url, azure=azure, api="responses")
        assert text_of(ask(policy)) == "a"
    assert server.requests[0].path == "/openai/responses"


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://openai.com.evil.org/v1", "max_tokens"),
        ("http://localhost:8000/v1", "max_tokens"),
    ],
)
def test_the_length_field_is_the_one_that_the_server_knows(url, field):
    policy = EndpointPolicy(url, "m")
    assert policy._form.call(request(), None).body[field] == 256
    named = EndpointPolicy(url, "m", body=EndpointBody(length_field="n_predict"))
    assert named._form.call(request(), None).body["n_predict"] == 256


def test_custom_headers_are_sent():
    with LocalServer(["a"]) as server:
        ask(EndpointPolicy(server.url, "m", headers={"X-Team": "blue"}))
    assert server.requests[0].headers["x-team"] == "blue"


def seeds(server):
    return [seen.body.get("seed") for seen in server.requests]


def test_each_request_has_a_seed_of_its_own_that_comes_again():
    runs = []
    for seed in (0, 0, 1):
        with LocalServer(["a"]) as server:
            policy = EndpointPolicy(server.url, "m", sampling=Sampling(seed=seed))
            for text in ("x", "x", "y"):
                ask(policy, text)
        runs.append(seeds(server))
    assert len(set(runs[0] + runs[2])) == 6
    assert runs[0] == runs[1]
    assert all(0 <= seed < 2**31 for seed in runs[0])


def test_another_attempt_has_the_same_seed():
    with LocalServer(["a"], faults=[Fault.SERVER_ERROR]) as server:
        ask(EndpointPolicy(server.url, "m", limits=QUICK))
    assert len(set(seeds(server))) == 1


def test_no_seed_is_sent_where_it_is_omitted():
    with LocalServer(["a"]) as server:
        ask(EndpointPolicy(server.url, "m", body=EndpointBody(omit=("seed",))))
    assert seeds(server) == [None]


async def converse(policy, name, turns, trace=None):
    messages = [{"role": "user", "content": name}]
    for _ in range(turns):
        reply = await policy.reply({"messages": messages}, trace)
        messages = [*messages, dict(reply.message), {"role": "user", "content": "on"}]


def episodes_of(server):
    return [seen.body["messages"][0]["content"] for seen in server.requests]


@pytest.mark.parametrize("traced", [False, True])
def test_an_episodes_turns_go_to_one_server(traced):
    async def play(policy):
        names = [f"episode {i}" for i in range(20)]
        traces = [TokenTrace() if traced else None for _ in names]
        pairs = zip(names, traces, strict=True)
        await asyncio.gather(*(converse(policy, n, 3, t) for n, t in pairs))

    with LocalServer() as first, LocalServer() as second:
        asyncio.run(play(EndpointPolicy([first.url, second.url], "m")))
    here, there = set(episodes_of(first)), set(episodes_of(second))
    assert not here & there
    assert len(here | there) == 20
    assert min(len(here), len(there)) >= 3


@pytest.mark.parametrize("traced", [False, True])
def test_another_server_takes_over_from_one_that_is_down(traced):
    async def play(policy):
        traces = [TokenTrace() if traced else None for _ in range(10)]
        await asyncio.gather(
            *(converse(policy, f"episode {i}", 2, t) for i, t in enumerate(traces))
        )

    broken = FaultPlan(always=Fault.UNAVAILABLE)
    with LocalServer() as first, LocalServer(faults=broken) as second:
        policy = EndpointPolicy([first.url, second.url], "m", limits=QUICK)
        asyncio.run(play(policy))
    assert len(first.requests) == 20
    assert 1 <= len(second.requests) < 20


def test_a_busy_server_keeps_its_episodes():
    busy = [Fault.RATE_LIMIT] * 2
    with LocalServer(faults=busy) as first, LocalServer(faults=busy) as second:
        ask(EndpointPolicy([first.url, second.url], "m", limits=QUICK))
    assert sorted([len(first.requests), len(second.requests)]) == [0, 3]


def test_requests_under_way_are_bounded_and_all_are_answered():
    async def play(policy, seen):
        calls = [policy.reply(request(str(i))) for i in range(200)]
        task = asyncio.gather(*calls)
        while not task.done():
            await asyncio.sleep(0.001)
            client = await policy._sender.clients.get()
            seen.append(len(client._session.connector._acquired))
        return [text_of(reply) for reply in await task]

    limits, seen = EndpointLimits(connections=5), []
    with LocalServer(delay_seconds=0.002) as server:
        policy = EndpointPolicy(server.url, "m", limits=limits)
        assert asyncio.run(play(policy, seen)) == [str(i) for i in range(200)]
    assert max(seen) == 5


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_connections_end_with_the_event_loop_and_nothing_is_left():
    with LocalServer(["a"]) as server:
        policy = EndpointPolicy(server.url, "m")
        ask(policy)
        before, threads = open_files(), threading.active_count()
        for _ in range(5):
            ask(policy)
            list(rollout(VaultEnv, policy, episodes=2))
        gc.collect()  # what was not closed would warn here
        assert open_files() <= before
        assert threading.active_count() <= threads + 1
        assert len(policy._sender.clients._open) == 1


def test_a_policy_closes_and_opens_again():
    async def play(url):
        async with EndpointPolicy(url, "m") as policy:
            await policy.reply(request())
            client = await policy._sender.clients.get()
        assert client._session.closed
        await policy.reply(request())
        await policy.close()

    with LocalServer(["a"]) as server:
        asyncio.run(play(server.url))
        gc.collect()
    assert len(server.requests) == 2


def test_two_event_loops_may_share_a_policy():
    with LocalServer(["a"], delay_seconds=0.01) as server:
        policy = EndpointPolicy(server.url, "m")
        replies = []
        threads = [
            threading.Thread(target=lambda: replies.append(ask(policy)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [text_of(reply) for reply in replies] == ["a"] * 4


def test_close_ends_the_connections_of_another_running_loop():
    async def here(policy, inside, release):
        await policy.reply(request())
        client = await policy._sender.clients.get()
        inside.set()
        await asyncio.to_thread(release.wait)
        for _ in range(100):
            if client._session.closed:
                break
            await asyncio.sleep(0.01)
        return client._session.closed

    with LocalServer(["a"]) as server:
        policy = EndpointPolicy(server.url, "m")
        inside, release, closed = threading.Event(), threading.Event(), []
        thread = threading.Thread(
            target=lambda: closed.append(asyncio.run(here(policy, inside, release)))
        )
        thread.start()
        inside.wait()
        asyncio.run(policy.close())
        release.set()
        thread.join()
    assert closed == [True]


def test_a_cancelled_call_gives_its_place_back():
    async def play(policy):
        lost = [asyncio.create_task(policy.reply(request())) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
        return await policy.reply(request())

    limits = EndpointLimits(connections=1)
    with LocalServer(["a"], faults=[Fault.SILENCE]) as server:
        policy = EndpointPolicy(server.url, "m", limits=limits)
        assert text_of(asyncio.run(play(policy))) == "a"


def test_a_policy_survives_pickling():
    with LocalServer(["a"]) as server:
        policy = EndpointPolicy(server.url, "m", limits=QUICK)
        ask(policy)
        copy = pickle.loads(pickle.dumps(policy))
        assert text_of(ask(copy)) == "a"
    assert repr(copy) == f"<EndpointPolicy 'm' api='chat' at {server.url}>"


def test_an_overflowing_episode_is_truncated_and_has_no_fault():
    with LocalServer(["a"], context_tokens=20) as server:
        policy = EndpointPolicy(server.url, "m", sampling=Sampling(10))
        trajectory = next(rollout(VaultEnv, policy, episodes=1))
    assert trajectory.stop_reason.value == "reply_length"
    assert trajectory.fault is None


def test_a_broken_server_is_an_episode_with_a_fault_and_no_reward():
    with LocalServer(["a"], faults=FaultPlan(always=Fault.SERVER_ERROR)) as server:
        policy = EndpointPolicy(server.url, "m", limits=QUICK)
        trajectory = next(rollout(VaultEnv, policy, episodes=1, retries=0))
    assert "gave no reply in 3 attempts" in trajectory.fault
    assert trajectory.episode_return != trajectory.episode_return


def test_a_request_without_tokens_told_has_the_usage_of_the_server():
    with LocalServer(["abc"]) as server:
        assert ask(EndpointPolicy(server.url, "m")).usage == Usage(9, 4)


URL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], "m"), ValueError, "must be an address or several"),
        (("localhost:8000", "m"), ValueError, "must be like 'http://localhost"),
        (("http://me:pw1@h/v1", "m"), ValueError, "of the host 'h' may hold no user"),
        (("http://h/v1?key=pw1", "m"), ValueError, "of the host 'h' may hold no user"),
        ((URL,), ValueError, "`model` must be the model's name, not None"),
        ((URL, ""), ValueError, "`model` must be the model's name, not ''"),
    ],
)
def test_addresses_and_names_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        EndpointPolicy(*arguments)
    assert "pw1" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "sk-1"}, TypeError, "must be a `Key`, such as .*, not of type str"),
        ({"api": "telnet"}, ValueError, "`api` must be .*, not 'telnet'"),
        ({"api": "tokens"}, ValueError, "`tokenizer` must be given with"),
        ({"tokenizer": object()}, ValueError, "not object with 'chat'"),
        (
            {
                "api": "tokens",
                "tokenizer": object(),
                "azure": AzureOptions("d", "v"),
            },
            ValueError,
            "Azure has no",
        ),
        (
            {"body": EndpointBody(omit=("top_p",)), "sampling": Sampling(top_p=0.5)},
            ValueError,
            "told to omit it cannot do `top_p`=0.5",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, error, message):
    with pytest.raises(error, match=message) as caught:
        EndpointPolicy(URL, "m", **options)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize("name", ["connections", "attempts", "reply_seconds"])
def test_limits_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be above 0, not 0"):
        EndpointLimits(**{name: 0})


def lowest_free_file():
    number = os.dup(0)
    os.close(number)
    return number


def test_no_more_files_is_the_callers_mistake():
    policy = EndpointPolicy("http://127.0.0.1:9/v1", "m", limits=QUICK)

    async def starved():
        await policy._sender.clients.get()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_file(), hard))
        try:
            await policy.reply(request())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with pytest.raises(EndpointError, match="no file descriptors left; lower `conn"):
        asyncio.run(starved())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_nobody_trusts_is_the_callers_mistake(tmp_path):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    async def play():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            policy = EndpointPolicy(f"https://127.0.0.1:{port}/v1", "m", limits=QUICK)
            await policy.reply(request())

    with pytest.raises(EndpointError, match=r"not trusted: .*; set SSL_CERT_FILE"):
        asyncio.run(play())
