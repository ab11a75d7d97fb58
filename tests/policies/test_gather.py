"""Calls reach the engine in order, answers go out one by one, and no caller is lost."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from llm_gym.errors import EnvironmentFault, PolicyFault
from llm_gym.policies.gather import Call, Gatherer

Double = Gatherer[int, int]
NumberCall = Call[int, int]


class Engine:
    """Doubles numbers; a number takes as many steps as it says, with `slow`.

    Attributes:
        batches: What was admitted, together.
        before: Called with the numbers under way at each step.
    """

    def __init__(
        self,
        before: Callable[[list[int]], object] = lambda items: None,
        *,
        limit: int = 32,
        slow: bool = False,
    ) -> None:
        self.batches: list[list[int]] = []
        self.before = before
        self.abandoned: list[bool] = []
        self._limit = limit
        self._slow = slow
        self._calls: dict[NumberCall, int] = {}

    def room(self, waiting: int) -> int:
        return self._limit - len(self._calls)

    def admit(self, calls: Sequence[NumberCall]) -> None:
        self.batches.append([call.item for call in calls])
        self._calls.update((call, call.item if self._slow else 1) for call in calls)

    def step(self) -> list[tuple[NumberCall, int]]:
        self.before([call.item for call in self._calls])
        self.abandoned = [call.abandoned for call in self._calls]
        left = {call: steps - 1 for call, steps in self._calls.items()}
        self._calls = {call: n for call, n in left.items() if n and not call.abandoned}
        return [(call, 2 * call.item) for call, n in left.items() if not n]

    def idle(self) -> bool:
        return not self._calls

    def clear(self) -> list[NumberCall]:
        calls, self._calls = list(self._calls), {}
        return calls

    def gatherer(self) -> Double:
        return Gatherer(self, name="double")


def refuse_sevens(items: list[int]) -> None:
    if 7 in items:
        raise RuntimeError("out of memory")


async def ask_all(gatherer: Double, items: Sequence[int]) -> list[object]:
    calls = (gatherer.ask(item) for item in items)
    return list(await asyncio.gather(*calls, return_exceptions=True))


def test_calls_of_one_iteration_come_together_in_order() -> None:
    engine = Engine()
    answers = asyncio.run(ask_all(engine.gatherer(), [5, 3, 9]))
    assert answers == [10, 6, 18]
    assert engine.batches == [[5, 3, 9]]


def test_more_calls_than_there_is_room_for_are_taken_in_order() -> None:
    engine = Engine(limit=2)
    answers = asyncio.run(ask_all(engine.gatherer(), range(5)))
    assert answers == [0, 2, 4, 6, 8]
    assert engine.batches == [[0, 1], [2, 3], [4]]


def test_answers_go_out_as_they_come_and_others_take_their_place() -> None:
    engine = Engine(limit=2, slow=True)
    order: list[int] = []

    async def ask(gatherer: Double, item: int) -> None:
        await gatherer.ask(item)
        order.append(item)

    async def main() -> None:
        gatherer = engine.gatherer()
        await asyncio.gather(*(ask(gatherer, item) for item in (9, 2, 4, 1)))

    asyncio.run(main())
    assert order == [2, 4, 1, 9]
    assert engine.batches == [[9, 2], [4], [1]]


def test_call_joins_those_that_are_under_way() -> None:
    started, joined = threading.Event(), threading.Event()
    engine = Engine(lambda items: (started.set(), joined.wait(60)), slow=True)

    async def main() -> list[int]:
        gatherer = engine.gatherer()
        first = asyncio.create_task(gatherer.ask(6))
        await asyncio.to_thread(started.wait, 60)
        second = asyncio.create_task(gatherer.ask(3))
        await asyncio.sleep(0)
        joined.set()
        return [await second, await first]

    assert asyncio.run(main()) == [6, 12]
    assert engine.batches == [[6], [3]]


def test_callers_that_were_woken_together_start_together() -> None:
    engine = Engine()
    gatherer = engine.gatherer()

    async def twice(item: int) -> None:
        await asyncio.wait_for(gatherer.ask(item), 60)
        await asyncio.sleep(0.02)  # the engine is at rest again
        await asyncio.wait_for(gatherer.ask(item + 10), 60)

    async def main() -> None:
        await asyncio.gather(*(twice(item) for item in range(3)))

    asyncio.run(main())
    assert engine.batches[0] == [0, 1, 2]


def test_failure_reaches_every_caller_under_way_alone() -> None:
    gatherer = Engine(refuse_sevens, limit=2).gatherer()
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


@pytest.mark.parametrize("error", [StopIteration, SystemExit])
def test_whatever_an_engine_raises_reaches_its_caller(
    error: type[BaseException],
) -> None:
    def stop(items: list[int]) -> None:
        raise error

    with pytest.raises(PolicyFault, match=error.__name__):
        asyncio.run(Engine(stop).gatherer().ask(1))


def test_calls_that_cannot_be_admitted_are_told() -> None:
    class Full(Engine):
        def admit(self, calls: Sequence[NumberCall]) -> None:
            raise MemoryError("no slot")

    answers = asyncio.run(ask_all(Full().gatherer(), [1, 2]))
    assert [type(answer) for answer in answers] == [PolicyFault, PolicyFault]


def test_cancelled_caller_leaves_the_others_their_answers() -> None:
    started, release = threading.Event(), threading.Event()
    engine = Engine(lambda items: (started.set(), release.wait(60)))
    gatherer = engine.gatherer()

    async def main() -> list[object]:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (1, 2, 3)]
        await asyncio.to_thread(started.wait, 60)
        tasks[1].cancel()
        await asyncio.sleep(0)
        release.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    first, second, third = asyncio.run(main())
    assert (first, third) == (2, 6)
    assert isinstance(second, asyncio.CancelledError)
    assert engine.abandoned == [False, True, False]


def test_cancelled_caller_is_never_admitted() -> None:
    engine = Engine()
    gatherer = engine.gatherer()

    async def main() -> list[object]:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    assert asyncio.run(main())[1] == 4
    assert engine.batches == [[2]]


def test_loop_runs_while_the_engine_works() -> None:
    ticked = threading.Event()
    gatherer = Engine(lambda items: ticked.wait(60)).gatherer()

    async def main() -> int:
        task = asyncio.create_task(gatherer.ask(4))
        await asyncio.sleep(0.001)
        ticked.set()
        return await task

    assert asyncio.run(main()) == 8


def test_gatherer_serves_one_event_loop_after_another() -> None:
    engine = Engine()
    gatherer = engine.gatherer()
    assert asyncio.run(ask_all(gatherer, [1, 2])) == [2, 4]
    assert asyncio.run(ask_all(gatherer, [3])) == [6]
    assert engine.batches == [[1, 2], [3]]


def test_loop_that_ends_early_frees_the_gatherer() -> None:
    started, release = threading.Event(), threading.Event()
    engine = Engine(lambda items: (started.set(), release.wait(60)), limit=1)
    gatherer = engine.gatherer()
    kept: list[asyncio.Task[int]] = []

    async def main() -> None:
        kept.extend(asyncio.create_task(gatherer.ask(item)) for item in (1, 2))
        await asyncio.to_thread(started.wait, 60)

    asyncio.run(main())
    assert [task.cancelled() for task in kept] == [True, True]
    release.set()
    assert asyncio.run(gatherer.ask(3)) == 6
    assert engine.batches == [[1], [3]]


def test_loop_that_was_closed_under_a_caller_frees_the_gatherer() -> None:
    started, release = threading.Event(), threading.Event()
    gatherer = Engine(lambda items: (started.set(), release.wait(60))).gatherer()
    loop = asyncio.new_event_loop()
    task = loop.create_task(gatherer.ask(1))
    while not started.is_set():
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    release.set()
    assert asyncio.run(gatherer.ask(3)) == 6
    task._log_destroy_pending = False  # it is what a careless caller leaves behind


def test_function_runs_alone_after_those_under_way_and_before_those_that_wait() -> None:
    seen: list[object] = []
    started, release = threading.Event(), threading.Event()

    def note(items: list[int]) -> None:
        started.set()
        assert release.wait(60)
        seen.append(list(items))

    gatherer = Engine(note, limit=1, slow=True).gatherer()

    async def main() -> object:
        tasks = [asyncio.create_task(gatherer.ask(item)) for item in (2, 1)]
        await asyncio.to_thread(started.wait, 60)
        job = asyncio.create_task(
            asyncio.to_thread(gatherer.run_alone, lambda: seen.append("alone"))
        )
        while not gatherer._jobs:
            await asyncio.sleep(0.001)
        release.set()
        return await asyncio.gather(*tasks, job)

    assert asyncio.run(main()) == [4, 2, None]
    assert seen == [[2], [2], "alone", [1]]


def test_function_that_runs_alone_returns_and_raises() -> None:
    gatherer = Engine().gatherer()
    assert gatherer.run_alone(lambda: 7) == 7

    def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        gatherer.run_alone(fail)
    assert asyncio.run(gatherer.ask(1)) == 2
