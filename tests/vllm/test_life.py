"""An engine that dies, and that nothing of it is left."""

import asyncio
import gc
import os
import signal
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from llm_gym.errors import PolicyFault
from llm_gym.policies.sampling import Sampling
from llm_gym.policies.vllm import EngineStateError, VLLMPolicy
from tests.policies.tiny import ask
from tests.vllm.conftest import SMALL
from tests.vllm.driving import replies
from tests.vllm.test_policy import LONG, until

psutil = pytest.importorskip("psutil")
torch = pytest.importorskip("torch")


def processes() -> set[int]:
    """Return the processes below this one, without multiprocessing's own helper."""
    return {child.pid for child in psutil.Process().children(recursive=True)} - {
        resource_tracker._resource_tracker._pid
    }


def wait_until_gone(pids: set[int]) -> None:
    """Wait for processes to end, also those that have lost their parent."""
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=20
    )
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


async def break_off(policy: Any, how: Any) -> BaseException:
    """Break the engine while a reply is under way, and return what the caller gets."""
    task = asyncio.create_task(policy.with_sampling(LONG).reply(ask("hello")))
    await until(lambda: policy._engine.requests == 1)
    await asyncio.to_thread(how)
    async with asyncio.timeout(30):
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    return outcome


def test_closed_engine_leaves_no_process_and_no_caller(tiny_folder: Path) -> None:
    before = processes()
    policy = VLLMPolicy(tiny_folder, engine_args=SMALL)
    started = processes() - before
    assert len(started) >= 2
    outcome = asyncio.run(break_off(policy, policy.close))
    assert isinstance(outcome, PolicyFault)
    assert "`Tiny-vLLM` was closed during a reply" in str(outcome)
    assert processes() == before
    wait_until_gone(started)
    policy.close()
    with pytest.raises(EngineStateError, match="is closed: make another policy"):
        replies(policy, [ask("hello")])
    assert not policy._engine._thread.is_alive()


def test_dead_engine_is_a_fault_and_a_forgotten_one_is_cleared_away(
    tiny_folder: Path,
) -> None:
    before = processes()
    policy = VLLMPolicy(
        tiny_folder, sampling=Sampling(max_new_tokens=4), engine_args=SMALL
    )
    started = processes() - before
    cores = [p for p in map(psutil.Process, started) if "Core" in p.name()]
    assert cores
    outcome = asyncio.run(
        break_off(policy, lambda: [os.kill(p.pid, signal.SIGKILL) for p in cores])
    )
    assert isinstance(outcome, PolicyFault)
    with pytest.raises(
        PolicyFault, match="the engine of `Tiny-vLLM` failed: EngineDead"
    ):
        replies(policy, [ask("hello")])
    del policy, outcome
    gc.collect()
    assert processes() == before
    wait_until_gone(started)


def test_engine_that_has_loaded_some_of_the_weights_is_closed(
    tiny_folder: Path,
) -> None:
    before = processes()
    policy = VLLMPolicy(tiny_folder, engine_args=SMALL)
    with pytest.raises(PolicyFault, match=r"load all of the weights: .*\b63\b"):
        policy.update_weights({"model.norm.weight": torch.zeros(63)})
    with pytest.raises(EngineStateError, match="is closed"):
        replies(policy, [ask("hello")])
    assert processes() == before


def test_engine_that_does_not_start_is_a_fault(tiny_folder: Path) -> None:
    before = processes()
    args = {**SMALL, "kv_cache_memory_bytes": 1 << 50}
    with pytest.raises(PolicyFault, match="vLLM could not start `Tiny-vLLM`"):
        VLLMPolicy(tiny_folder, engine_args=args)
    gc.collect()
    assert processes() == before
