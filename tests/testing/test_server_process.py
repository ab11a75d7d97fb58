"""The shipped server as a process of its own."""

from __future__ import annotations

import io
import json
import sys

import pytest

from llm_gym.testing import ServerProcess
from llm_gym.testing.server import main
from tests.testing.test_local_server import post

pytest.importorskip("aiohttp")


def test_a_process_serves_until_it_is_left(tmp_path):
    script = tmp_path / "script.jsonl"
    script.write_text('"one"\n\n{"content": "two"}\n')
    with ServerProcess(["--script", str(script), "--model", "m"]) as server:
        body = {"model": "m", "messages": [{"role": "assistant", "content": ""}]}
        status, answer = post(f"{server.url}/chat/completions", body)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "two")
    assert server._process.returncode == 0


def test_a_process_that_does_not_start_is_told(capfd):
    with pytest.raises(RuntimeError, match=r"did not start \(exit code 2\)"):
        ServerProcess(["--no-such-option"]).__enter__()
    assert "--no-such-option" in capfd.readouterr().err


def test_the_command_serves_until_its_input_ends(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("SOME_KEY", "k1")
    faults = json.dumps({"reset": 0.5})
    options = ["--delay", "0.5", "2", "--faults", faults, "--key-env", "SOME_KEY"]
    assert main(["--until-eof", *options]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_an_interrupt_ends_the_command_as_shells_expect(monkeypatch):
    def interrupted(coroutine):
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("llm_gym.testing.server.asyncio.run", interrupted)
    assert main([]) == 130
