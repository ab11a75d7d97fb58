"""A loop with much to do stays responsive, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import time

import pytest

from llm_gym.rollouts.pace import Pace

TASKS = 60


async def spin(pace, order, number, seconds):
    await pace.wait()
    order.append(number)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def turns_of_the_loop(stop):
    turns = 0
    while not stop.is_set():
        await asyncio.sleep(0)
        turns += 1
    return turns


def run(pace, seconds):
    async def main():
        stop, order = asyncio.Event(), []
        counter = asyncio.create_task(turns_of_the_loop(stop))
        work = [spin(pace, order, number, seconds) for number in range(TASKS)]
        await asyncio.gather(*work)
        stop.set()
        return order, await counter

    return asyncio.run(main())


def test_work_that_takes_long_is_spread_over_turns_in_order():
    order, turns = run(Pace(0.001), 0.001)
    assert order == list(range(TASKS))
    assert turns > TASKS / 4


def test_work_that_takes_no_time_is_not_held_back():
    _, turns = run(Pace(10.0), 0.0)
    assert turns < 5


def test_one_that_is_cancelled_while_it_waits_holds_up_nobody():
    async def main():
        pace, order = Pace(1e-9), []
        tasks = [asyncio.create_task(spin(pace, order, n, 1e-4)) for n in range(9)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[4], asyncio.CancelledError)
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_pace_is_used_again_after_a_pause():
    async def main():
        pace, order = Pace(1e-9), []
        for number in range(3):
            await spin(pace, order, number, 1e-4)
            await asyncio.sleep(0.001)
        return order

    assert asyncio.run(asyncio.wait_for(main(), 5)) == [0, 1, 2]


@pytest.mark.parametrize("seconds", [1e-9, 10.0])
def test_everybody_gets_through(seconds):
    assert sorted(run(Pace(seconds), 1e-5)[0]) == list(range(TASKS))
