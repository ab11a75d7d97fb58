"""`EndpointPolicy` against vLLM's own server, with token ids in and out."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_gym
from llm_gym.policies.endpoint import EndpointPolicy
from llm_gym.policies.sampling import Sampling
from tests.policies.tiny import ask
from tests.vllm.driving import logprobs_by_transformers, replies

pytest.importorskip("aiohttp")

START_SECONDS = 600  # on a machine that does much else


@pytest.fixture(scope="module")
def url(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the tiny model, which is called "tiny" there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"--host 127.0.0.1 --port {port} --served-model-name tiny --dtype float32"
    # Seeded requests would kill the server where it reads prompts in parts on a CPU.
    options += " --enforce-eager --no-enable-chunked-prefill --max-num-seqs 32"
    options += f" --kv-cache-memory-bytes {1 << 27}"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--model", str(tiny_folder), *options.split()],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(server, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def _wait(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


def test_traces_are_what_the_server_read_and_sampled(
    url: str, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    policy = EndpointPolicy(
        url,
        "tiny",
        api="tokens",
        tokenizer=tiny_tokenizer,
        sampling=Sampling(max_new_tokens=6, seed=2),
    )
    options = {"max_turns": 3}
    episodes = list(
        llm_gym.rollout("llmgym/MultiTurn-v0", policy, episodes=3, env_kwargs=options)
    )
    assert [episode.fault for episode in episodes] == [None] * 3
    for episode in episodes:
        for segment in episode.tokens.segments:
            expected = logprobs_by_transformers(tiny_model, segment.ids)
            told = [expected[i - 1] for i, one in enumerate(segment.mask) if one]
            assert list(segment.logprobs) == pytest.approx(told, abs=1e-3)


def test_same_seed_samples_the_same(url: str, tiny_tokenizer: Any) -> None:
    def sampled(seed: int) -> list[Any]:
        sampling = Sampling(max_new_tokens=6, seed=seed)
        policy = EndpointPolicy(
            url, "tiny", api="tokens", tokenizer=tiny_tokenizer, sampling=sampling
        )
        asked = [ask("hello"), ask("two plus two"), ask("hello")]
        return [reply.sampled_ids for reply in replies(policy, asked)]

    first = sampled(1)
    assert sampled(1) == first
    assert sampled(2) != first


def test_prompt_that_is_too_long_is_a_length_stop(
    url: str, tiny_tokenizer: Any
) -> None:
    policy = EndpointPolicy(url, "tiny", api="tokens", tokenizer=tiny_tokenizer)
    (reply,) = replies(policy, [ask("a long story " * 500)])
    assert (reply.message, reply.finish_reason) == ("", "length")


def test_chat_api_replies(url: str) -> None:
    policy = EndpointPolicy(url, "tiny", sampling=Sampling(max_new_tokens=6))
    (reply,) = replies(policy, [ask("hello")])
    assert reply.usage.completion_tokens <= 6
    assert reply.finish_reason in ("stop", "length")
