"""Calls become batches, in order, and no caller is ever lost."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from llm_gym.errors import EnvironmentFault, PolicyFault
from llm_gym.policies.gather import Call, Gatherer

Double = Gatherer[int, int]


class Engine:
    """Doubles numbers; keeps its batches; does as told before it answers."""

    def __init__(self, before: Callable[[list[int]], None] | None = None) -> None:
        self.batches: list[list[int]] = []
        self.abandoned: list[bool] = []
        self.before = before

    def __call__(self, calls: Sequence[Call[int, int]]) -> list[int]:
        items = [call.item for call in calls]
        self.batches.append(items)
        if self.before is not None:
            self.before(items)
        self.abandoned = [call.abandoned for call in calls]
        return [2 * item for item in items]

    def gatherer(self, limit: int = 32) -> Double:
        return Gatherer(self, limit=limit, name="double")


def refuse_sevens(items: list[int]) -> None:
    if 7 in items:
        raise RuntimeError("out of memory")


async def ask_all(gatherer: Double, items: Sequence[int]) -> list[object]:
    calls = (gatherer.ask(item) for item in items)
    return list(await asyncio.gather(*calls, return_exceptions=True))


def test_calls_of_one_iteration_share_a_batch_in_order() -> None:
    engine = Engine()
    answers = asyncio.run(ask_all(engine.gatherer(), [5, 3, 9]))
    assert answers == [10, 6, 18]
    assert engine.batches == [[5, 3, 9]]


def test_more_calls_than_the_limit_are_served_in_order() -> None:
    engine = Engine()
    answers = asyncio.run(ask_all(engine.gatherer(limit=2), range(5)))
    assert answers == [0, 2, 4, 6, 8]
    assert engine.batches == [[0, 1], [2, 3], [4]]


def test_callers_that_a_batch_woke_fill_up_the_next_one() -> None:
    engine = Engine()
    gatherer = engine.gatherer(limit=2)

    async def twice(item: int) -> None:
        await asyncio.wait_for(gatherer.ask(item), 60)
        await asyncio.wait_for(gatherer.ask(item + 10), 60)

    async def main() -> None:
        await asyncio.gather(*(twice(item) for item in range(3)))

    asyncio.run(main())
    assert engine.batches == [[0, 1], [2, 10], [11, 12]]


def test_failure_reaches_every_caller_of_its_batch_alone() -> None:
    gatherer = Engine(refuse_sevens).gatherer(limit=2)
    first, second, third = asyncio.run(ask_all(gatherer, [6, 7, 8]))
    assert isinstance(first, PolicyFault)
    assert isinstance(second, EnvironmentFault)
    assert first is not second
    assert third == 16


def test_failure_names_the_engine_and_its_cause() -> None:
    gatherer = Engine(refuse_sevens).gatherer()
    with pytest.raises(PolicyFault, match=r"policy `double`.*out of memory") as info:
        asyncio.run(gatherer.ask(7))
    assert isinstance(info.value.__cause__, RuntimeError)
    assert asyncio.run(gatherer.ask(8)) == 16


def test_stop_iteration_of_an_engine_reaches_its_caller() -> None:
    def stop(items: list[int]) -> None:
        raise StopIteration

    with pytest.raises(PolicyFault, match="StopIteration"):
        asyncio.run(Engine(stop).gatherer().ask(1))


def test_missing_answers_are_a_fault_for_all() -> None:
    gatherer: Double = Gatherer(lambda calls: [1], limit=4, name="short")
    answers = asyncio.run(ask_all(gatherer, [1, 2]))
    assert [type(answer) for answer in answers] == [PolicyFault, PolicyFault]


def test_cancelled_caller_leaves_the_others_their_answers() -> None:
    started, release = threading.Event(), threading.Event()

    def hold(items: list[int]) -> None:
        started.set()
        assert release.wait(60)

    engine = Engine(hold)

    async def main() -> list[object]:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (1, 2, 3)]
        await asyncio.to_thread(started.wait, 60)
        tasks[1].cancel()
        await asyncio.sleep(0)
        release.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    gatherer = engine.gatherer()
    first, second, third = asyncio.run(main())
    assert (first, third) == (2, 6)
    assert isinstance(second, asyncio.CancelledError)
    assert engine.abandoned == [False, True, False]


def test_cancelled_caller_is_left_out_of_a_batch_to_come() -> None:
    engine = Engine()

    async def main() -> list[object]:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    gatherer = engine.gatherer()
    assert asyncio.run(main())[1] == 4
    assert engine.batches == [[2]]


def test_loop_runs_while_the_engine_works() -> None:
    ticked = threading.Event()

    def wait_for_tick(items: list[int]) -> None:
        assert ticked.wait(60)

    async def main() -> int:
        task = asyncio.create_task(gatherer.ask(4))
        await asyncio.sleep(0.001)
        ticked.set()
        return await task

    gatherer = Engine(wait_for_tick).gatherer()
    assert asyncio.run(main()) == 8


def test_gatherer_serves_one_event_loop_after_another() -> None:
    engine = Engine()
    gatherer = engine.gatherer()
    assert asyncio.run(ask_all(gatherer, [1, 2])) == [2, 4]
    assert asyncio.run(ask_all(gatherer, [3])) == [6]
    assert engine.batches == [[1, 2], [3]]


def test_loop_that_ends_early_frees_the_gatherer() -> None:
    started, release = threading.Event(), threading.Event()

    def hold(items: list[int]) -> None:
        started.set()
        assert release.wait(60)

    engine = Engine(hold)
    gatherer = engine.gatherer(limit=1)
    kept: list[asyncio.Task[int]] = []

    async def main() -> None:
        kept.extend(asyncio.create_task(gatherer.ask(item)) for item in (1, 2))
        await asyncio.to_thread(started.wait, 60)

    asyncio.run(main())
    assert [task.cancelled() for task in kept] == [True, True]
    release.set()
    assert asyncio.run(gatherer.ask(3)) == 6
    assert engine.batches == [[1], [3]]


def test_callers_are_cancelled_with_the_task_that_serves_them() -> None:
    release = threading.Event()
    gatherer = Engine(lambda items: release.wait(60) and None).gatherer(limit=1)

    async def main() -> list[object]:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (1, 2)]
        await asyncio.sleep(0.01)
        others = asyncio.all_tasks() - {*tasks, asyncio.current_task()}
        for task in others:
            task.cancel()
        release.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    answers = asyncio.run(main())
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
