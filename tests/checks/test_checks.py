"""What may be checked, and how a report tells of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from llm_gym import GeneratedTasks, tool
from llm_gym.checks import CHECKS, Finding, Report, check
from tests.checks.zoo import (
    BoxesEnv,
    make_boxes,
)


def boxes(max_turns: int = 5) -> gym.Env[Any, Any]:
    return BoxesEnv(max_turns=max_turns)


def only_finding(target: Any, name: str, **options: Any) -> Finding:
    (finding,) = check(target, only=[name], **{"seeds": range(2), **options}).findings
    return finding


@pytest.fixture
def env_id() -> Iterator[str]:
    gym.register("tests/Boxes-v0", entry_point="tests.checks.zoo:BoxesEnv")
    yield "tests/Boxes-v0"
    del gym.registry["tests/Boxes-v0"]


# What may be checked


def test_registered_id_is_checked_in_another_process_too(env_id: str) -> None:
    report = check(env_id, seeds=[5], only=["new_process", "vector", "gymnasium"])
    assert [finding.status for finding in report.findings] == ["passed"] * 3
    assert report.env_id == env_id


def test_id_with_a_module_imports_it(env_id: str) -> None:
    assert check(f"tests.checks.zoo:{env_id}", seeds=[0], only=["oracle"]).passed


def test_function_is_checked_as_what_it_makes() -> None:
    report = check(boxes, seeds=range(2))
    assert report.passed
    assert {finding.status for finding in report.findings} == {"passed"}
    assert report.env_id == "tests.checks.test_checks:boxes"


class AwaitingEnv(BoxesEnv):
    """Has a tool that waits."""

    @tool
    async def knock(self, times: int) -> int:
        """Knock.

        Args:
            times: How often.
        """
        await asyncio.sleep(0)
        self.state["knocks"] += times
        return int(self.state["knocks"])


def test_env_with_async_tools_passes() -> None:
    report = check(AwaitingEnv, seeds=range(3), only={*CHECKS} - {"new_process"})
    assert report.passed, report.findings


@pytest.mark.parametrize("target", [BoxesEnv, boxes])
def test_env_kwargs_reach_the_env(target: Any) -> None:
    finding = only_finding(target, "oracle", env_kwargs={"max_turns": 1})
    assert "truncated (max_turns) after 1 turns" in finding.message


def test_class_of_a_function_is_skipped_where_it_cannot_be_imported() -> None:
    class LocalEnv(BoxesEnv):
        """Is known to this function only."""

    report = check(LocalEnv, seeds=range(2))
    skipped = [f for f in report.findings if f.status == "skipped"]
    assert [finding.check for finding in skipped] == ["new_process"]
    assert "cannot be imported by another process" in skipped[0].message
    assert report.passed


def test_class_of_the_file_that_is_run_is_skipped_too(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from llm_gym.checks import check\n"
        "from tests.checks.zoo import BoxesEnv\n"
        "class ScriptEnv(BoxesEnv): 'Is in a script.'\n"
        "if __name__ == '__main__':\n"
        "    only = ['pickle', 'new_process']\n"
        "    report = check(ScriptEnv, seeds=[0, 1], only=only)\n"
        "    print([finding.status for finding in report.findings])\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['skipped', 'passed']"


def test_arguments_that_are_no_json_skip_the_other_process() -> None:
    kwargs = {"tasks": GeneratedTasks(make_boxes)}
    finding = only_finding(BoxesEnv, "new_process", env_kwargs=kwargs)
    assert finding.status == "skipped"
    assert "are not JSON" in finding.message


def test_env_that_cannot_be_pickled_skips_the_vector_of_processes() -> None:
    lock = threading.Lock()
    finding = only_finding(lambda: lock and BoxesEnv(), "vector")
    assert finding.status == "skipped"
    assert "cannot be pickled (TypeError" in finding.message


# What a report tells


def test_findings_come_in_the_order_of_the_table() -> None:
    report = check(BoxesEnv, seeds=[0], only=["card", "oracle", "schemas"])
    assert [f.check for f in report.findings] == ["schemas", "oracle", "card"]
    assert report.seconds >= sum(finding.seconds for finding in report.findings) > 0


@pytest.mark.parametrize(
    ("statuses", "passed"),
    [
        (("passed", "passed"), True),
        (("passed", "skipped"), True),
        (("passed", "failed"), False),
        (("skipped", "failed"), False),
    ],
)
def test_report_passes_unless_a_check_failed(
    statuses: tuple[Any, ...], passed: bool
) -> None:
    findings = tuple(Finding("oracle", status, "", 0.0) for status in statuses)
    assert Report("id", findings, 0.0).passed is passed


def test_env_that_cannot_be_made_fails_every_check() -> None:
    def fail() -> Any:
        raise OSError("no such host")

    report = check(fail, seeds=[0])
    statuses = {f.check: f.status for f in report.findings if f.check != "new_process"}
    assert set(statuses.values()) == {"failed"}
    assert "OSError: no such host" in report.findings[0].message


def test_what_makes_no_tool_env_fails() -> None:
    finding = only_finding(lambda: gym.make("CartPole-v1"), "oracle")
    assert finding.message.startswith("TypeError: expected a ToolEnv, not <gymnasium")


def test_unknown_check_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no check 'orcale'; there are"):
        check(BoxesEnv, only=["orcale"])


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        check(BoxesEnv, seeds=[])


def test_what_makes_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="must be an id, a ToolEnv class or a callable"):
        check(3)  # type: ignore[arg-type]


def test_unknown_id_is_refused() -> None:
    with pytest.raises(gym.error.Error, match="NoSuch"):
        check("llmgym/NoSuch-v0")


def test_every_check_has_a_description_of_one_line() -> None:
    for entry in CHECKS.values():
        assert 10 < len(entry.description) < 70
        assert "\n" not in entry.description
