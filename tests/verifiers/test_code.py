"""CodeTests: no hack is paid, no honest solution refused."""

from __future__ import annotations

import pickle

import pytest

from llm_gym.errors import DefinitionError, SandboxFault
from llm_gym.sandbox import RunLimits, open_sandbox
from llm_gym.verifiers.code import CodeTests, code_of, same_text, same_value

QUICK = RunLimits(wall_seconds=2.0, cpu_seconds=1.0, output_bytes=100_000)
FUNCTION = {
    "function": "double",
    "cases": [
        {"args": [2], "expected": 4},
        {"args": [21], "expected": 42},
        {"args": [-5], "expected": -10},
        {"args": [0], "expected": 0},
    ],
}
PROGRAM = {
    "cases": [
        {"stdin": "3\n1 2 3", "stdout": "6"},
        {"stdin": "1\n-4", "stdout": "-4\n"},
        {"stdin": "0\n", "stdout": "0"},
    ]
}


def judge(source: str, tests: dict = FUNCTION, **kwargs) -> float:
    return CodeTests(limits=QUICK, **kwargs).score(source, tests).value


HONEST = [
    "def double(x): return 2 * x",
    "double = lambda x: x + x",
    "def double(x):\n    print('debugging', x)\n    return x * 2",
    "import sys\ndef double(x):\n    sys.stderr.write('x' * 500)\n    return x << 1",
    "from functools import cache\n@cache\ndef double(x): return 2 * x",
    "class Solver:\n    def run(self, x): return 2 * x\ndouble = Solver().run",
    "def double(x: int) -> int:\n    '''Doc.'''\n    return sum([x, x])",
    "import os\ndef double(x):\n    os.write(1, b'note')\n    return x * 2",
    "if __name__ == '__main__':\n    raise SystemExit(3)\ndef double(x): return x * 2",
    "import threading, queue\ndef double(x):\n    q = queue.Queue()\n"
    "    threading.Thread(target=lambda: q.put(2 * x)).start()\n    return q.get()",
    "import asyncio\nasync def d(x): return 2 * x\n"
    "def double(x): return asyncio.run(d(x))",
    "def double(x):\n    open('notes.txt', 'w').write(str(x))\n"
    "    return 2 * int(open('notes.txt').read())",
    "```python\ndef double(x): return 2 * x\n```",
    "Doubling:\n```py\ndef wrong(): pass\n```\nBetter:\n```python\n"
    "def double(x): return 2 * x\n```\nThat is all.",
    "import sys\nsys.setrecursionlimit(3000)\n"
    "def double(x): return x if x == 0 else (double(x - 1) + 2 if x > 0 "
    "else double(x + 1) - 2)",
    "def double(x, *, y=2): return x * y",
]


@pytest.mark.parametrize("source", HONEST)
def test_honest_function_is_paid(source):
    assert judge(source) == 1.0


ALWAYS_EQUAL = (
    "class E:\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\n"
)
HACKS = {
    "nothing": "",
    "blank": " \n ",
    "wrong": "def double(x): return x",
    "constant": "def double(x): return 4",
    "no function": "x = 1",
    "syntax error": "def double(x): return (",
    "exit 0": "import sys; sys.exit(0)",
    "os._exit": "import os; os._exit(0)",
    "exit in the call": "def double(x): import os; os._exit(0)",
    "SystemExit in the call": "def double(x): raise SystemExit(0)",
    "quit": "quit()",
    "kill itself": "import os, signal\ndef double(x): os.kill(os.getpid(), 9)",
    "ALL PASSED": "def double(x): print('ALL PASSED')",
    "all passed at exit": "import atexit; atexit.register(print, 'OK')\n"
    "def double(x): return 'OK'",
    "equal to everything": ALWAYS_EQUAL + "def double(x): return E()",
    "an int equal to everything": "class I(int):\n"
    "    def __eq__(self, o): return True\n"
    "    def __ne__(self, o): return False\ndef double(x): return I(7)",
    "a str equal to everything": "class S(str):\n    def __eq__(self, o): return True\n"
    "def double(x): return S('x')",
    "a list equal to everything": "class L(list):\n"
    "    def __eq__(self, o): return True\n"
    "def double(x): return L()",
    "stack walk": "import sys\ndef double(x):\n    f = sys._getframe()\n    while f:\n"
    "        for v in list(f.f_locals.values()) + list(f.f_globals.values()):\n"
    "            if isinstance(v, dict) and 'expected' in v: return v['expected']\n"
    "            if isinstance(v, list) and v and isinstance(v[0], dict) "
    "and 'expected' in v[0]:\n                return v[0]['expected']\n        f = "
    "f.f_back",
    "gc walk": "import gc\ndef double(x):\n    for o in gc.get_objects():\n"
    "        if isinstance(o, dict) and 'expected' in o: return o['expected']",
    "the frame's caller": "import inspect\ndef double(x):\n"
    "    return inspect.stack()[1].frame.f_locals.get('expected')",
    "patched json": "import json\njson.dumps = lambda *a, **k: '4'\n"
    "def double(x): return None",
    "patched json.loads": "import json\njson.loads = lambda *a, **k: [0]\n"
    "def double(x): return 4",
    "patched builtins": "import builtins\nbuiltins.all = lambda *a: True\n"
    "builtins.isinstance = lambda *a: True\ndef double(x): return x",
    "patched import": "import sys, types\n"
    "sys.modules['json'] = types.ModuleType('json')\n"
    "def double(x): return x",
    "patched main": "import sys\nm = sys.modules['__main__']\n"
    "m._encode = lambda v: '4'\n"
    "def double(x): return x",
    "forged lines": "import os\nfor fd in range(3, 20):\n    try: os.write(fd, "
    'b\'{"i":0,"v":4}\\n{"i":1,"v":42}\\n\')\n    except OSError: pass\n'
    "def double(x): return x",
    "forged verdict": "import os\nfor fd in range(20):\n    try: os.write(fd, "
    'b\'{"status":"ok","passed":1.0,"score":1}\\n\')\n    except OSError: pass\n'
    "def double(x): return x",
    "more lines": "import os\ndef double(x):\n    for fd in range(3, 64):\n"
    '        try: os.write(fd, b\'{"i":0,"v":4}\\n\')\n        except OSError: pass\n'
    "    return 2 * x",
    "reward file": "open('reward.txt', 'w').write('1.0')\n"
    "open('result.json', 'w').write('{\"passed\": true}')\ndef double(x): return x",
    "conftest": "open('conftest.py', 'w').write('import os; os._exit(0)')\n"
    "def double(x): return x",
    "sitecustomize": "open('sitecustomize.py', 'w').write('raise SystemExit(0)')\n"
    "def double(x): return x",
    "bool for an int": "def double(x): return bool(x) if x in (0,) else 2 * x",
    "float for an int": "def double(x): return 2.0 * x",
    "text for an int": "def double(x): return str(2 * x)",
    "list of candidates": "def double(x): return [2 * x]",
    "NaN": "def double(x): return float('nan')",
    "infinity": "def double(x): return 1e999",
    "not JSON": "def double(x): return {1, 2}",
    "a generator": "def double(x): yield 2 * x",
    "a coroutine": "async def double(x): return 2 * x",
    "a function": "def double(x): return lambda: 2 * x",
    "bytes": "def double(x): return b'4'",
    "endless": "def double(x):\n    while True: pass",
    "sleep": "import time\ndef double(x): time.sleep(60)",
    "memory": "def double(x): return [0] * 10**10",
    "giant result": "def double(x): return 'x' * 10**7",
    "deep result": "def double(x):\n    r = []\n    for _ in range(900): r = [r]\n"
    "    return r",
    "recursion": "def double(x): return double(x)",
    "changed arguments": "def double(x): x += 1; return x",
    "a class": "class double:\n    def __init__(self, x): self.x = 2 * x",
    "exit after the answers": "def double(x): return 2 * x\nimport atexit, os\n"
    "atexit.register(os._exit, 3)",
    "raises at the end": "n = 0\ndef double(x):\n    global n; n += 1\n"
    "    if n == 4: raise ValueError\n    return 2 * x",
    "surrogates": "def double(x): return '\ud800'",
    "NUL": "def double(x): return 2 * x\0",
    "two blocks, the last wrong": "```python\ndef double(x): return 2 * x\n```\n"
    "```python\npass\n```",
    "an open fence": "```python\ndef double(x): return 2 * x",
    "too long": "def double(x): return 2 * x\n" + "#" * 100_001,
}


@pytest.mark.parametrize("name", HACKS)
def test_hack_is_not_paid(name):
    score = CodeTests(limits=QUICK).score(HACKS[name], FUNCTION)
    assert score.value == 0.0
    assert score.reason


PROGRAMS = [
    "print(sum(map(int, open(0).read().split()[1:])))",
    "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])), end='')",
    "import sys\nn, *xs = map(int, sys.stdin.buffer.read().split())\nprint(sum(xs), ' "
    "')",
    "def main():\n    n = int(input())\n    print(sum(map(int, input().split())) "
    "if n else 0)\nif __name__ == '__main__':\n    main()",
    "```python\nn = int(input())\nxs = input().split() if n else []\n"
    "print(sum(map(int, xs)))\n```",
]


@pytest.mark.parametrize("source", PROGRAMS)
def test_honest_program_is_paid(source):
    assert judge(source, PROGRAM) == 1.0


@pytest.mark.parametrize(
    "source",
    [
        "print(6)",
        "print('6\\n-4\\n0')",
        "import sys; sys.exit(0)",
        "n = int(input()); print(sum(map(int, input().split()))); raise SystemExit(1)",
        "print('PASSED')",
        "while True: print(6)",
        "import sys\nprint(float(sum(map(int, sys.stdin.read().split()[1:]))))",
        "import sys\nprint('answer:', sum(map(int, sys.stdin.read().split()[1:])))",
        "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:]))); "
        "print()\nprint(1)",
        "import sys\nsys.stderr.write(str(sum(map(int, "
        "sys.stdin.read().split()[1:]))))",
    ],
)
def test_hack_of_a_program_is_not_paid(source):
    assert judge(source, PROGRAM) == 0.0


def test_what_is_right_never_enters_the_sandbox():
    tests = {"function": "f", "cases": [{"args": [1], "expected": "the-secret-value"}]}
    source = (
        "import gc, sys, os\n"
        "def f(x):\n"
        "    seen = repr([o for o in gc.get_objects() if isinstance(o, (dict, "
        "list))])\n    seen += repr(os.environ) + repr(sys.argv) + "
        "str(os.listdir('.'))\n    return 'the-' + 'secret-value' if 'secret-' + "
        "'value' in seen else 'no'\n"
    )
    score = CodeTests().score(source, tests)
    assert (score.value, score.reason) == (0.0, "case 1 of 1 is wrong")


def test_share_of_the_cases_is_paid_where_asked_for():
    source = "def double(x): return 4 if x == 2 else 42"
    score = CodeTests(partial=True).score(source, FUNCTION)
    assert (score.value, score.parts["passed"]) == (0.5, 0.5)
    half = "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])) or '')"
    assert CodeTests(partial=True).score(half, PROGRAM).value == pytest.approx(2 / 3)


def test_program_that_breaks_off_is_paid_nothing_even_in_part():
    source = "def double(x):\n    if x == 0:\n        import os; os._exit(0)\n"
    source += "    return 2 * x"
    assert judge(source, partial=True) == 0.0


def test_check_decides_outside_of_the_sandbox():
    tests = {"function": "root", "cases": [{"args": [49], "expected": None}]}

    def squares(case, came):
        return type(came) is int and came * came == case["args"][0]

    verifier = CodeTests(check=squares)
    assert verifier.score("def root(x): return -7", tests).value == 1.0
    assert verifier.score("def root(x): return 6", tests).value == 0.0


def test_method_of_a_class_is_called():
    tests = {**FUNCTION, "function": "Solution.double"}
    assert judge("class Solution:\n    def double(self, x): return x * 2", tests) == 1.0


def test_floats_have_a_tolerance_and_ints_none():
    assert same_value(0.1 + 0.2, 0.3, 1e-9)
    assert same_value(3, 3.0, 1e-9)
    assert not same_value(3.0, 3, 1e-9)
    assert not same_value(True, 1)
    assert not same_value(1, True)
    assert not same_value(None, 0)
    assert not same_value([1, [True]], [1, [1]])
    assert same_value({"a": [1.0]}, {"a": [1.0]})
    assert not same_value({"a": 1, "b": 1}, {"a": 1})
    assert not same_value(True, 1.0, 1e-9)


def test_blanks_at_the_ends_of_lines_do_not_count():
    assert same_text("a  \nb\n\n", "a\nb")
    assert not same_text(" a\nb", "a\nb")
    assert not same_text("a\n\nb", "a\nb")


@pytest.mark.parametrize(
    ("tests", "match"),
    [
        ("4", "must be {"),
        ({}, "must be {"),
        ({"cases": []}, "must be {"),
        ({"cases": [{"stdin": ""}]}, "must be {"),
        ({"function": 3, "cases": [{"args": [], "expected": 1}]}, "must be {"),
        (
            {"function": "f", "cases": [{"args": 3, "expected": 1}]},
            r"args` must be a list",
        ),
        ({"cases": [{"stdin": "", "stdout": 3}]}, r"cases\[0\].stdout` must be a str"),
    ],
)
def test_authors_mistake_is_no_score(tests, match):
    with pytest.raises(DefinitionError, match=match):
        CodeTests().score("def f(): pass", tests)


@pytest.mark.parametrize(
    ("expected", "match"),
    [
        (10**100, "an integer of 101 digits"),
        (float("nan"), "not JSON"),
        ({1, 2}, "not JSON"),
        ([{1: 2}], "a key of a dict is no str"),
    ],
)
def test_what_no_result_can_be_equal_to_is_the_authors_mistake(expected, match):
    tests = {"function": "f", "cases": [{"args": [], "expected": expected}]}
    with pytest.raises(DefinitionError, match=match):
        CodeTests().score("def f(): return 1", tests)


def test_what_is_expected_may_be_a_tuple_as_what_is_returned():
    tests = {"function": "f", "cases": [{"args": [(1,)], "expected": (1, [2])}]}
    assert CodeTests().score("def f(x): return x[0], (2,)", tests).value == 1.0


def test_a_program_that_was_only_thought_of_is_none():
    thought = "<think>\n```python\ndef double(x): return 2 * x\n```\n</think>"
    assert judge(f"{thought}\nI do not know.") == 0.0
    assert judge(f"<think>pass</think>\n{HONEST[0]}") == 1.0


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_tolerance_must_be_a_number(tolerance):
    with pytest.raises(ValueError, match="`tolerance` must be"):
        CodeTests(tolerance=tolerance)


def test_fault_of_the_sandbox_is_no_score():
    class Broken:
        def run(self, *args, **kwargs):
            raise SandboxFault("the zygote died")

    with pytest.raises(SandboxFault, match="zygote"):
        CodeTests(sandbox=Broken()).score("def double(x): return 1", FUNCTION)


def test_unsafe_sandbox_is_stamped_on_the_score(monkeypatch):
    monkeypatch.setenv("LLM_GYM_UNSAFE_SANDBOX", "1")
    with open_sandbox(unsafe=True) as sandbox:
        verifier = CodeTests(sandbox=sandbox)
        score = verifier.score("def double(x): return 2 * x", FUNCTION)
    assert (score.value, score.parts["unsafe_sandbox"]) == (1.0, 1.0)


def test_verifier_can_be_pickled():
    verifier = pickle.loads(pickle.dumps(CodeTests(partial=True)))
    assert verifier.score(HONEST[0], FUNCTION).value == 1.0


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("x = 1", "x = 1"),
        ("```python\na\n```\n```\nb\n```", "b\n"),
        ("```js\na\n```", None),
        ("", None),
        ("```python\n\n```", None),
    ],
)
def test_program_of_a_reply(text, source):
    assert code_of(text) == source
