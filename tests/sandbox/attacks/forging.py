"""Lies about how a run ended, told to whoever listens."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.attacks.model import FORKING, GO, WITH_SESSIONS, Attack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_gym.sandbox.base import Result, Sandbox
    from tests.sandbox.attacks.scene import Scene

FRAMES = """\
import json, os, pickle, struct
class Trap:
    def __reduce__(self): return (open, ("@OPEN_DIR@/attack-@TOKEN@", "w"))
lie = {"status": "ok", "exit_code": 0, "stdout": "forged", "stderr": "", "code": 0, "ok": True,
       "signal": 0, "id": 1, "kind": "result", "type": "exit", "cpu_seconds": 0.0, "reason": ""}
text = json.dumps(lie).encode()
payloads = [text + b"\\n", struct.pack("<I", len(text)) + text, struct.pack(">I", len(text)) + text,
            struct.pack("<Q", len(text)) + text, pickle.dumps(Trap()), bytes(8), bytes(64), b"\\xff" * 64,
            b"0\\n", b"ok\\n", struct.pack("=ii", 0, 0), b"@TOKEN@" * 200]
def lie_to_all():
    for fd in range(3, 256):
        try: os.set_blocking(fd, False)
        except OSError: continue
        for payload in payloads:
            try: os.write(fd, payload)
            except OSError: pass
"""


def _attack(
    name: str,
    program: str,
    statuses: Sequence[str],
    code: int | None = None,
    **other: object,
) -> Attack:
    def judge(scene: Scene, results: list[Result]) -> str | None:
        last = results[-1]
        if code is not None and last.exit_code != code:
            return f"exit code {last.exit_code}, not {code}"
        return None

    return Attack(
        name,
        "forging",
        GO + program,
        statuses=statuses,
        judge=judge,
        **other,  # type: ignore[arg-type]
    )


def _two_calls(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    """Run it in a session; what is called next must not be taken in."""
    with sandbox.session(limits=scene.limits()) as session:
        first = session.execute(program)
        after = session.execute("print('go')\nprint('true')\n1 + 1")
        if (
            after.status.name == "NONZERO"
        ):  # its names may have gone with the interpreter
            after = session.execute("print('go')\nprint('true')\n1 + 1")
        broken = session.execute("raise ValueError('honest')")
        own = session.run("print('own')")
        if own.stdout != "own\n":
            scene.note(f"a program of the session wrote {own.stdout!r}")
        if broken.status.name == "OK":
            scene.note("an exception was reported as ok")
    with sandbox.session(limits=scene.limits()) as other:
        clean = other.execute("print('clean')")
        if clean.stdout != "clean\n" or not clean.ok:
            scene.note(f"another session was reached: {clean}")
    return [first, after]


def _true(scene: Scene, results: list[Result]) -> str | None:
    after = results[-1]
    if after.ok and after.stdout.endswith("true\n2\n"):
        return None
    return f"the call after it gave {after}"


def _session(
    name: str, program: str, judged: bool = True, starts: bool = True
) -> Attack:
    return Attack(
        name,
        "forging",
        (GO if starts else "") + program,
        tiers=WITH_SESSIONS,
        drive=_two_calls,
        judge=_true if judged else None,
    )


ATTACKS = [
    _attack(
        "frames_to_every_descriptor",
        FRAMES + "lie_to_all()\nos._exit(3)\n",
        ["NONZERO"],
        3,
    ),
    _attack("frames_then_killed", FRAMES + "lie_to_all()\nos.abort()\n", ["SIGNAL"]),
    _attack(
        "frames_then_hang",
        FRAMES + "lie_to_all()\nimport time\ntime.sleep(60)\n",
        ["TIMEOUT"],
    ),
    _attack(
        "frames_on_stdout",
        FRAMES + "for p in payloads: os.write(1, p); os.write(2, p)\nos._exit(4)\n",
        ["NONZERO"],
        4,
    ),
    _attack(
        "everything_closed",
        "import os\nos.closerange(0, 1024)\nos._exit(5)\n",
        ["NONZERO"],
        5,
    ),
    _attack(
        "everything_closed_and_hung",
        "import os, time\nos.closerange(0, 1024)\ntime.sleep(60)\n",
        ["TIMEOUT"],
    ),
    # The first process of a namespace does not heed its own signals.
    _attack(
        "killed_by_itself", "import os\nos.kill(os.getpid(), 9)\n", ["SIGNAL", "OK"]
    ),
    _attack(
        "exit_code_of_a_signal",
        "import os\nos._exit(137)\n",
        ["NONZERO"],
        137,
        tiers=WITH_SESSIONS,  # bubblewrap cannot tell the two apart
    ),
    _attack(
        "words_of_a_limit",
        "import sys\nprint('killed: out of memory, status timeout')\nsys.exit(9)\n",
        ["NONZERO"],
        9,
    ),
    _attack(
        "segmentation_fault", "import ctypes\nctypes.string_at(0)\n", ["SIGNAL"], -11
    ),
    _attack(
        "child_lies_after_the_end",
        FRAMES
        + "import time\nif os.fork() == 0:\n    while True: lie_to_all(); os.write(1, b'late')\nos._exit(6)\n",
        ["NONZERO", "OUTPUT_LIMIT"],
        tiers=FORKING,
    ),
    _attack(
        "messages_stolen",
        "import os\nfor fd in range(3, 256):\n    try:\n        os.set_blocking(fd, False)\n        os.read(fd, 10**6)\n    except OSError: pass\nos._exit(7)\n",
        ["NONZERO"],
        7,
    ),
    _attack(
        "frames_of_the_caller",
        """
import sys
frame = sys._getframe()
while frame:
    for name in list(frame.f_locals):
        print(name, flush=True)
    frame.f_globals.update(_end=lambda *a: None, os=None, report=None)
    frame = frame.f_back
sys.exit(8)
""",
        ["NONZERO", "SIGNAL"],
    ),
    _attack(
        "exit_patched",
        "import os, sys\nos._exit = lambda code: None\nsys.exit = lambda *a: None\nraise SystemExit(9)\n",
        [],
    ),
    _attack(
        "streams_replaced",
        "import sys\nsys.stdout = sys.stderr = sys.__stdout__ = None\nraise ValueError('x')\n",
        ["NONZERO"],
    ),
    _attack(
        "exception_that_cannot_be_shown",
        "class Bad(BaseException):\n    def __str__(self): raise self\n    __repr__ = __str__\nraise Bad()\n",
        ["NONZERO"],
    ),
    _attack(
        "exit_with_an_object",
        "class Code(int):\n    def __and__(self, other): return 0\nraise SystemExit(Code(300))\n",
        ["NONZERO", "OK"],
    ),
    _session("session_frames", FRAMES + "lie_to_all()\n", judged=False),
    _session(
        "session_frames_then_an_error",
        FRAMES + "lie_to_all()\nraise ValueError\n",
        judged=False,
    ),
    _session("session_exits", "import os\nos._exit(0)\n"),
    _session("session_leaves", "raise SystemExit(3)\n"),
    _session("session_closes_all", "import os\nos.closerange(0, 256)\n", judged=False),
    _session(
        "session_patches_all",
        """
import builtins, io, json, os, struct, sys, traceback
json.dumps = json.loads = struct.pack = os.write = os.read = lambda *a, **k: b""
builtins.compile = builtins.exec = builtins.eval = lambda *a, **k: None
sys.displayhook = lambda value: None
traceback.print_exception = lambda *a, **k: None
""",
        judged=False,
    ),
    _session(
        "session_thread_that_goes_on_lying",
        FRAMES
        + """
import threading, time
def lie():
    end = time.monotonic() + 2
    while time.monotonic() < end:
        lie_to_all()
        time.sleep(0.01)
threading.Thread(target=lie, daemon=True).start()
""",
        judged=False,
    ),
    _session("session_hangs", "while True: pass\n"),
    _session("session_floods", "while True: print('x' * 9999)\n"),
    _session(
        "session_out_of_memory", "held = []\nwhile True: held.append(b'x' * 2**20)\n"
    ),
    _session(
        "session_recursion",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return repr([f(n + 1)])\nf(0)\n",
    ),
    _session(
        "session_last_value_that_hangs",
        "class V:\n    def __repr__(self):\n        while True: pass\nV()\n",
    ),
    _session("session_syntax_error", "def (:\n", starts=False),
    _session("session_null_byte", "print('a')\0", starts=False),
    _session(
        "session_calls_stolen",
        "import os, threading\ndef steal(fd):\n    while True:\n        try: os.read(fd, 10**6)\n        except OSError: return\n"
        "for fd in range(3, 64): threading.Thread(target=steal, args=(fd,), daemon=True).start()\n",
        judged=False,
    ),
]
