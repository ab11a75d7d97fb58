"""Who waits for a connection, in what order, and which server is asked."""

from __future__ import annotations

import asyncio
import time

from llm_gym.policies.endpoint.http import Slots
from llm_gym.policies.endpoint.servers import Servers
from llm_gym.tokens.trace import TokenTrace


async def hold(slots, name, log, seconds=0.0):
    async with slots:
        log.append(name)
        await asyncio.sleep(seconds)


def test_slots_are_given_in_order_and_never_too_many():
    async def play():
        slots, log, under_way, most = Slots(3, burst=2), [], 0, 0

        async def one(number):
            nonlocal under_way, most
            async with slots:
                log.append(number)
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0)
                under_way -= 1

        await asyncio.gather(*(one(number) for number in range(50)))
        return log, most

    assert asyncio.run(play()) == (list(range(50)), 3)


def test_only_a_burst_begins_in_one_turn_of_the_loop():
    async def play():
        slots, log, begun = Slots(1000, burst=10), [], []
        tasks = [asyncio.create_task(hold(slots, i, log, 9)) for i in range(100)]
        while len(log) < 100:
            before = len(log)
            await asyncio.sleep(0)
            begun.append(len(log) - before)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return begun

    assert max(asyncio.run(play())) == 10


def test_a_burst_comes_back_after_a_quiet_time():
    async def play():
        slots, log = Slots(1000, burst=2), []
        for _ in range(3):
            await asyncio.gather(*(hold(slots, i, log) for i in range(5)))
            await asyncio.sleep(0.001)
        return len(log)

    assert asyncio.run(asyncio.wait_for(play(), 5)) == 15


def test_who_goes_away_while_waiting_leaves_no_hole():
    async def play():
        slots, log = Slots(1), []
        first = asyncio.create_task(hold(slots, "first", log, 0.02))
        lost = [asyncio.create_task(hold(slots, "lost", log)) for _ in range(5)]
        last = asyncio.create_task(hold(slots, "last", log))
        await asyncio.sleep(0.001)
        for task in lost:
            task.cancel()
        await asyncio.gather(first, last)
        return log

    assert asyncio.run(play()) == ["first", "last"]


def test_who_is_cancelled_when_its_turn_came_passes_it_on():
    async def play():
        slots, log = Slots(1), []
        async with slots:
            lost = asyncio.create_task(hold(slots, "lost", log))
            last = asyncio.create_task(hold(slots, "last", log))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        lost.cancel()  # its turn has come, and it has not run yet
        await asyncio.wait_for(last, 1)
        return log, slots._free

    assert asyncio.run(play()) == (["last"], 1)


REQUEST = {"messages": [{"role": "user", "content": "hi"}]}


def after_an_outage(trace):
    """Return whom an episode asks first, while that is down, and when it is up."""
    servers = Servers(["http://a/v1", "http://b/v1"])
    first = servers.pick(servers.home(REQUEST, trace))
    servers.failed(first)
    second = servers.pick(servers.home(REQUEST, trace))
    servers.answered(first)
    return first, second, servers.pick(servers.home(REQUEST, trace))


def test_an_episode_with_a_trace_stays_where_its_tokens_are():
    first, second, third = after_an_outage(TokenTrace())
    assert first is not second
    assert third is second


def test_an_episode_without_a_trace_goes_home():
    first, second, third = after_an_outage(None)
    assert first is not second
    assert third is first


def test_where_all_servers_are_down_the_first_choice_is_asked():
    servers = Servers(["http://a/v1", "http://b/v1"])
    home = servers.home(REQUEST, None)
    for server in servers.all:
        servers.failed(server)
    assert servers.pick(home) is home.ranking[0]


def test_a_server_rests_longer_each_time_up_to_a_limit():
    servers = Servers(["http://a/v1", "http://b/v1"])
    server, rests = servers.all[0], []
    for _ in range(20):
        servers.failed(server)
        rests.append(server.rests_until - time.monotonic())
    assert 1.5 < rests[0] < 2.5 < rests[1]
    assert 59 < rests[-1] <= 60
