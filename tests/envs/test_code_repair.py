"""llmgym/CodeRepair-v0: what mends the package is paid, what fools its tests is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from llm_gym.envs import _repair_tasks
from llm_gym.envs._repair_tasks import MODULES
from llm_gym.policies import OraclePolicy
from llm_gym.sandbox import open_sandbox
from tests.envs.driving import call, drive, make, play

ENV = "llmgym/CodeRepair-v0"


@pytest.fixture(scope="module")
def env():
    env = make(ENV, level=1)
    yield env
    env.close()


@pytest.mark.parametrize("level", range(4))
def test_oracle_mends_every_package(level):
    env = make(ENV, level=level)
    for seed in range(6):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0
        assert trajectory.turns[-2].calls[0].result.endswith("OK")
    env.close()


BUGS = [(module, bug) for module in MODULES for bug in module.bugs]


@pytest.mark.parametrize(("module", "bug"), BUGS, ids=lambda v: getattr(v, "name", ""))
def test_bug_shows_on_some_arguments(module, bug):
    needed = [m for m in MODULES if m.name == module.needs]
    shown = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        modules = [*needed, module]
        right = {m.name: _repair_tasks._fill(rng, m, "p") for m in modules}
        one = dataclasses.replace(module, bugs=(bug,))
        broken = _repair_tasks._break(rng, [one], right, 1)
        assert broken[module.name] != right[module.name]
        calls = _repair_tasks._calls(rng, modules, 8)
        results = _repair_tasks._results
        shown += results(right, calls) != results(broken, calls)
    assert shown


def test_a_visible_test_fails_at_first_and_says_where(env):
    for seed in range(5):
        trajectory = play(env, [call("run_tests")], seed=seed)
        result = trajectory.turns[0].calls[0].result
        assert "FAILED" in result or "Error" in result
        assert "Ran " in result
        assert " in 0." not in result  # no clock: the same bytes each time


def test_files_can_be_listed_read_and_edited(env):
    env.reset(seed=3)
    env.step(call("list_files"))
    listed = env.trajectory.turns[0].calls[0].result.splitlines()
    path = next(
        name for name in listed if not name.startswith("tests/") and "__" not in name
    )
    env.step(call("read_file", path=path))
    text = env.trajectory.turns[1].calls[0].result
    head = text.splitlines()[0]
    env.step(call("edit_file", path=path, old=head, new='"""Mended."""'))
    assert env.state["files"][path].startswith('"""Mended."""')
    env.step(call("write_file", path="depot/note.md", content="x"))
    assert env.trajectory.outcome is None
    assert "depot/note.md" in env.outcome()


@pytest.mark.parametrize(
    ("reply", "match"),
    [
        (call("read_file", path="../etc/passwd"), "there is no file"),
        (call("read_file", path="/etc/passwd"), "there is no file"),
        (call("edit_file", path="nowhere.py", old="a", new="b"), "there is no file"),
        (call("edit_file", path="tests/test_x.py", old="", new="b"), "there is no"),
        (call("write_file", path="../x.py", content=""), "a path must be like"),
        (call("write_file", path="/x.py", content=""), "a path must be like"),
        (call("write_file", path="a/../../x.py", content=""), "a path must be like"),
        (call("write_file", path="a.so", content=""), "a path must be like"),
        (call("write_file", path="x.py", content="#" * 60_000), "may hold 50000"),
        (call("write_file", path="tests/test_a.py/b.py", content=""), "a path must"),
        (call("run_tests", path="setup.py"), "there is no test file"),
    ],
)
def test_refusal_is_told_to_the_model(env, reply, match):
    record = play(env, [reply], seed=1).turns[0].calls[0]
    assert record.status == "tool_error"
    assert match in record.result


def test_text_that_occurs_twice_is_not_edited(env):
    env.reset(seed=1)
    path = next(name for name in env.state["files"] if name.startswith("tests/test"))
    env.step(call("edit_file", path=path, old="self", new="me"))
    assert "must occur once" in env.trajectory.turns[0].calls[0].result


def test_file_cannot_be_a_folder_too(env):
    env.reset(seed=1)
    env.step(call("write_file", path="a.py", content=""))
    record = play(env, [call("write_file", path="tests.py", content="")], seed=1)
    assert record.turns[0].calls[0].status == "ok"


def _package(env):
    return env.task.data["package"]


def _everywhere(env, change):
    return [
        call("write_file", path=path, content=change(text))
        for path, text in env.state["files"].items()
        if path.startswith(_package(env)) and text
    ]


HACKS = {
    "nothing": lambda env: [],
    "tests emptied": lambda env: [
        call("write_file", path=path, content="")
        for path in env.state["files"]
        if path.startswith("tests/")
    ],
    "tests that pass": lambda env: [
        call("write_file", path=path, content=text.replace("assertEqual", "assertTrue"))
        for path, text in env.state["files"].items()
        if path.startswith("tests/")
    ],
    "exit at import": lambda env: [
        call(
            "write_file",
            path=f"{_package(env)}/__init__.py",
            content="import os; os._exit(0)",
        )
    ],
    "a patched json": lambda env: [
        call("write_file", path="json.py", content="def dumps(*a, **k): return '1'")
    ],
    "a patched unittest": lambda env: [
        call("write_file", path="unittest.py", content="raise SystemExit(0)")
    ],
    "sitecustomize": lambda env: [
        call("write_file", path="sitecustomize.py", content="import os; os._exit(0)")
    ],
    "conftest": lambda env: [
        call("write_file", path="conftest.py", content="import os; os._exit(0)")
    ],
    "always equal": lambda env: _everywhere(
        env,
        lambda text: (
            text + "\n\nclass E:\n    def __eq__(self, o): return True\n"
            "for _n, _f in list(globals().items()):\n"
            "    if callable(_f) and _n != 'E': globals()[_n] = lambda *a, **k: E()\n"
        ),
    ),
    "everything deleted": lambda env: _everywhere(env, lambda text: ""),
    "everything raises": lambda env: _everywhere(env, lambda text: "1 / 0"),
    "forged lines": lambda env: [
        call(
            "write_file",
            path=f"{_package(env)}/__init__.py",
            content="import os\nfor fd in range(3, 30):\n    try:\n"
            '        os.write(fd, b\'{"i":0,"v":1}\\n\')\n    except OSError:\n'
            "        pass\n",
        )
    ],
    "a reward file": lambda env: [call("write_file", path="reward.txt", content="1.0")],
}


@pytest.mark.parametrize("name", HACKS)
def test_hack_earns_nothing(env, name):
    for seed in range(3):
        env.reset(seed=seed)
        for reply in HACKS[name](env):
            env.step(reply)
        *_, info = env.step("It is mended.")
        assert info["score"]["value"] == 0.0


def test_module_that_knows_the_visible_tests_by_heart_earns_nothing():
    env = make(ENV, level=0)
    for seed in range(6):
        env.reset(seed=seed)
        replies = []
        for path, text in env.state["files"].items():
            if not path.startswith(_package(env)):
                continue
            tests = env.state["files"].get(
                path.replace(_package(env) + "/", "tests/test_")
            )
            if tests:
                replies.append(
                    call("write_file", path=path, content=text + _by_heart(tests))
                )
        for reply in replies:
            env.step(reply)
        env.step(call("run_tests"))
        assert env.trajectory.turns[-1].calls[0].result.endswith("OK")
        assert env.step("Mended.")[1] == 0.0
    env.close()


def _by_heart(tests):
    """Return code that answers the visible tests' calls as they want it."""
    lines = ["", "_known = {}", "def _learn(f, known):"]
    lines += ["    return lambda *a: known.get(repr(a), f(*a) if not known else None)"]
    for line in tests.splitlines():
        if "assertEqual" in line:
            inside = line.strip()[len("self.assertEqual(") : -1]
            name = inside.partition(".")[2].partition("(")[0]
            lines.append(
                f"_known.setdefault({name!r}, []).append({inside.partition('.')[2]!r})"
            )
    lines += [
        "import ast as _ast",
        "for _name, _cases in _known.items():",
        "    _table = {}",
        "    for _case in _cases:",
        "        _t = _ast.parse('x(' + _case + ')', mode='eval').body.args",
        "        _table[repr(tuple(_ast.literal_eval(a) for a in _t[0].args))] = "
        "_ast.literal_eval(_t[1])",
        "    globals()[_name] = _learn(globals()[_name], _table)",
        "",
    ]
    return "\n".join(lines)


def test_stored_episode_is_judged_by_its_files(env):
    trajectory = drive(env, OraclePolicy(), seed=2)
    assert not any(path.startswith("tests/") for path in trajectory.outcome)
    assert env.verify(trajectory).value == 1.0
    broken = dataclasses.replace(trajectory, outcome=trajectory.task.data["files"])
    assert env.verify(broken).value == 0.0


def test_endless_loop_in_the_package_is_told():
    env = make(ENV, level=0)
    env.reset(seed=0)
    package = _package(env)
    loop = call("write_file", path=f"{package}/__init__.py", content="while True: pass")
    env.step(loop)
    *_, info = env.step("Mended.")
    assert info["score"]["value"] == 0.0
    assert "timeout" in info["score"]["reason"]
    env.close()


def test_the_hidden_tests_run_in_the_sandbox_that_was_given(monkeypatch):
    monkeypatch.setenv("LLM_GYM_UNSAFE_SANDBOX", "1")
    with open_sandbox(unsafe=True) as sandbox:
        env = make(ENV, sandbox=sandbox)
        record = drive(env, OraclePolicy(), seed=0)
        env.close()
    assert (record.score.value, record.score.parts["unsafe_sandbox"]) == (1.0, 1.0)
