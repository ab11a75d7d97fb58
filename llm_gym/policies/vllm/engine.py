"""vLLM's async engine in a thread with an event loop of its own.

The engine belongs to the loop that it was made in, while rollouts come and go with
loops of theirs: so it gets one that stays. Knows vLLM, token ids and weights; knows no
chats and no tokenizer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from llm_gym.errors import LLMGymError, PolicyFault, require

__all__ = ["Completion", "Engine", "EngineStateError"]

T = TypeVar("T")

_KILLED_SECONDS = 10.0
"""How long a process that was told to end, or was killed, may take for it."""


class EngineStateError(LLMGymError, RuntimeError):
    """An engine is asked for what it cannot do, or cannot do now."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the engine did with one prompt.

    Attributes:
        prompt_ids: The ids that it read.
        ids: The ids that it sampled, the one that ended them included.
        logprobs: The log-probability of each of `ids`.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Engine:
    """Samples with one model; any number of event loops and threads may use it.

    Args:
        args: The arguments of vLLM's `AsyncEngineArgs`.
        name: What errors call the model.

    Attributes:
        max_model_len: The most tokens of a prompt and its completion together.
        on_cpu: Whether vLLM computes on the CPU.
        version: How often weights have been loaded since the start.

    Raises:
        ValueError: vLLM knows no such argument, or refuses its value.
        PolicyFault: The engine did not start.
    """

    def __init__(self, args: Mapping[str, Any], name: str) -> None:
        self._name = name
        self._numbers = itertools.count()
        self._refusals = require("vllm.exceptions", extra="vllm").VLLMClientError
        self.version = 0
        self._closed = False
        self._asleep = False
        engine_args = _engine_args(args)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_run, args=(self._loop,), name="llm_gym-vllm", daemon=True
        )
        self._thread.start()
        try:
            llm, processes = self._wait(_start(engine_args))
        except BaseException as err:
            _end(None, (), self._loop, self._thread)
            if isinstance(err, Exception) and not isinstance(err, ValueError):
                raise PolicyFault(f"vLLM could not start `{name}`: {err!r}") from err
            raise
        self._llm = llm
        self.max_model_len: int = llm.model_config.max_model_len
        self._vocabulary: int = llm.model_config.get_vocab_size()
        self._sleeps: bool = llm.model_config.enable_sleep_mode
        self.on_cpu: bool = require(
            "vllm.platforms", extra="vllm"
        ).current_platform.is_cpu()
        # Also when it is forgotten, and at the interpreter's end.
        self._end = weakref.finalize(
            self, _end, llm, processes, self._loop, self._thread
        )

    async def generate(self, ids: Sequence[int], params: Any) -> Completion:
        """Sample what follows a prompt. To cancel it aborts the request.

        Args:
            ids: The prompt.
            params: vLLM's `SamplingParams`, with log-probabilities and only the final
                output.

        Raises:
            ValueError: The engine refuses the prompt or the settings.
            EngineStateError: The engine is closed or asleep.
            PolicyFault: The engine failed or died, or was closed meanwhile.
        """
        self._check()
        if max(ids) >= self._vocabulary:  # the engine would die of it
            raise ValueError(
                f"`{self._name}` has {self._vocabulary} tokens and was given the id "
                f"{max(ids)}: its tokenizer belongs to another model"
            )
        future = self._submit(self._generate(list(ids), params))
        output = await asyncio.wrap_future(future)
        return _completion(output, self._name)

    def sleep(self, level: int) -> None:
        """Wait for the requests under way, then give memory free; see `VLLMPolicy`."""
        self._check()
        if self.on_cpu:
            raise EngineStateError(
                "`sleep` would free nothing: vLLM ignores it on a CPU; "
                "`close()` the policy to get its memory back"
            )
        if not self._sleeps:
            raise EngineStateError(
                "`sleep` needs an engine that was started for it: "
                "`engine_args={'enable_sleep_mode': True}`"
            )
        self._do(self._llm.sleep(level, "wait"), "be put to sleep")
        self._asleep = True

    def wake_up(self, tags: Sequence[str] | None) -> None:
        """Take memory again, all of it or what the tags name."""
        self._check(asleep=True)
        listed = None if tags is None else list(tags)
        self._asleep = not self._do(self._llm.wake_up(listed), "be woken up")

    def load_weights(self, folder: str) -> None:
        """Load weights from a folder of safetensors, between two requests.

        Raises:
            PolicyFault: They could not be loaded, and the engine was closed.
        """
        self._check(asleep=self._asleep)
        try:
            self._do(self._load_weights(folder), "load all of the weights")
        except PolicyFault:  # it may have loaded some, and trips over the others later
            self.close()
            raise
        self.version += 1

    def close(self) -> None:
        """End the engine and its processes; a second time does nothing."""
        self._closed = True
        self._end()

    @property
    def requests(self) -> int:
        """How many requests are under way."""
        return int(self._llm.get_num_unfinished_requests())

    async def _generate(self, ids: list[int], params: Any) -> Any:
        """Run in the engine's loop."""
        prompt = {"type": "token", "prompt_token_ids": ids}
        number = str(next(self._numbers))
        try:
            # To the end of it: one that is left early is aborted.
            outputs = [o async for o in self._llm.generate(prompt, params, number)]
        except asyncio.CancelledError:
            if self._closed:  # the caller did not ask for it
                raise PolicyFault(f"`{self._name}` was closed during a reply") from None
            raise
        except self._refusals as err:
            raise ValueError(f"vLLM refuses a prompt: {err}") from err
        except Exception as err:  # the boundary of the engine
            raise PolicyFault(f"the engine of `{self._name}` failed: {err!r}") from err
        return outputs[-1]

    async def _load_weights(self, folder: str) -> None:
        await self._llm.pause_generation(mode="wait", clear_cache=True)
        try:
            options = {"weights_path": folder}
            await self._llm.collective_rpc("reload_weights", kwargs=options)
        finally:
            await self._llm.resume_generation()

    def _check(self, *, asleep: bool = False) -> None:
        if self._closed:
            raise EngineStateError(f"`{self._name}` is closed: make another policy")
        if self._asleep and not asleep:
            raise EngineStateError(f"`{self._name}` is asleep: call `wake_up()` first")

    def _do(self, work: Coroutine[Any, Any, T], what: str) -> T:
        try:
            return self._wait(work)
        except Exception as err:
            raise PolicyFault(f"`{self._name}` could not {what}: {err}") from err

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._submit(work).result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    # The engine's processes inherit this: Ctrl-C is for ours, which ends them in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _engine_args(args: Mapping[str, Any]) -> Any:
    kind = require("vllm.engine.arg_utils", extra="vllm").AsyncEngineArgs
    unknown = sorted(set(args) - {field.name for field in fields(kind)})
    if unknown:
        raise ValueError(
            f"`engine_args` must be those of vLLM's `AsyncEngineArgs`, not {unknown}"
        )
    return kind(**args)


async def _start(engine_args: Any) -> tuple[Any, tuple[BaseProcess, ...]]:
    """Return the engine and those of its processes that are children of this one."""
    module = require("vllm.v1.engine.async_llm", extra="vllm")
    before = set(multiprocessing.active_children())
    with _same_environment():
        llm = module.AsyncLLM.from_engine_args(engine_args)
    return llm, tuple(set(multiprocessing.active_children()) - before)


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    """Take back what vLLM sets for its own processes, `LD_PRELOAD` among it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _completion(output: Any, name: str) -> Completion:
    (one,) = output.outputs
    if one.finish_reason not in ("stop", "length"):
        raise PolicyFault(f"`{name}` broke off a reply: {one.finish_reason!r}")
    ids = tuple(one.token_ids)
    told = zip(ids, one.logprobs, strict=True)
    logprobs = tuple(row[token].logprob for token, row in told)
    return Completion(tuple(output.prompt_token_ids), ids, logprobs)


def _end(
    llm: Any,
    processes: Iterable[BaseProcess],
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
) -> None:
    """End an engine, its processes and its thread, after its `Engine` is gone."""
    if threading.current_thread() is thread:  # collected as garbage there
        _shut_down(llm)
        loop.stop()
        return
    asyncio.run_coroutine_threadsafe(_end_tasks(llm), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    for process in processes:  # one that had to be killed is a zombie until then
        process.join(_KILLED_SECONDS)


def _shut_down(llm: Any) -> None:
    if llm is not None:
        llm.shutdown()
        # Its finalizer calls it again: at the interpreter's end, amid what is gone.
        llm.shutdown = int


async def _end_tasks(llm: Any) -> None:
    """Shut the engine down, and leave no caller waiting."""
    _shut_down(llm)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
