"""What runs in the locked-down child: the program itself. Runs in the zygote."""

from __future__ import annotations

import atexit
import gc
import io
import linecache
import os
import random
import sys
import threading
import traceback
import types
from collections.abc import Callable, MutableMapping
from typing import Any, NoReturn

__all__ = [
    "flush",
    "leave",
    "main_module",
    "run_python",
    "run_shell",
    "settle",
    "show",
    "tidy_process",
]

_NAME = "main.py"


def tidy_process(python_paths: list[str]) -> None:
    """Make the zygote look like a fresh interpreter to what is forked from it."""
    for name in [n for n in sys.modules if n.split(".")[0] == "llm_gym"]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(
        PATH="/usr/local/bin:/usr/bin:/bin",
        LANG="C.UTF-8",
        PYTHONHASHSEED="0",
        PYTHONDONTWRITEBYTECODE="1",
    )
    sys.argv = [_NAME]
    sys.path.extend(python_paths)
    sys.dont_write_bytecode = True
    # Not a terminal, so the streams are what they are on the pipes of a run.
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8"
    )
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", None)):
        raw = io.FileIO(number, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding="utf-8",
            errors=errors or "backslashreplace",
            line_buffering=name == "stderr",
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def settle(home: str, temporary: str) -> None:
    """Tell the forked process where it is, and start its chance anew."""
    os.environ["HOME"] = home
    os.environ["TMPDIR"] = temporary
    sys.path.insert(0, home)
    random.seed(0)


def main_module() -> types.ModuleType:
    """Make an empty `__main__`."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    return module


def show(error: BaseException, source: str, name: str) -> None:
    """Print an exception as Python does, from the program's own first frame on."""
    try:
        lines = source.splitlines(keepends=True)
        linecache.cache[name] = (len(source), None, lines, name)
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != name:
            frames = frames.tb_next
        error.__traceback__ = frames
        if isinstance(error, MemoryError):
            gc.collect()
        hook = sys.excepthook
        if hook is not sys.__excepthook__:
            hook(type(error), error, frames)
        else:
            traceback.print_exception(type(error), error, frames)
    except BaseException:  # noqa: BLE001  # an exception that cannot be shown
        os.write(2, f"{type(error).__name__}\n".encode())


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def run_python(source: str) -> NoReturn:
    """Run a program as `__main__` and end the process."""
    module = main_module()
    code = 1
    try:
        exec(compile(source, _NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        code = 0
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:  # noqa: BLE001  # it ends the program, as in Python
        show(error, source, _NAME)
    _end(code, module.__dict__)


def leave(error: SystemExit, names: MutableMapping[str, Any]) -> NoReturn:
    """End the process as `sys.exit` asks."""
    _end(_exit_code(error), names)


def flush() -> None:
    """Write out what is buffered."""
    _attempt(lambda: sys.stdout.flush())
    _attempt(lambda: sys.stderr.flush())


def _attempt(action: Callable[[], Any]) -> bool:
    try:
        action()
    except BaseException:  # noqa: BLE001  # the program's own mess, at its very end
        return False
    return True


def _end(code: int, names: MutableMapping[str, Any]) -> NoReturn:
    """End as an interpreter does: threads, exit functions, open files, buffers."""
    _attempt(threading._shutdown)  # type: ignore[attr-defined]
    _attempt(atexit._run_exitfuncs)
    flushed = _attempt(lambda: sys.stdout.flush())
    for name in [n for n in names if n != "__builtins__"]:
        _attempt(lambda name=name: names.pop(name))  # type: ignore[misc]
    # What was there before the program is frozen, so this is quick.
    _attempt(lambda: gc.collect(2 if gc.get_count()[2] else 1))
    flushed = _attempt(lambda: sys.stdout.flush()) and flushed
    _attempt(lambda: sys.stderr.flush())
    os._exit(code if flushed else code or 120)


def run_shell(path: str) -> NoReturn:
    """Become a shell that runs a script."""
    os.execve("/bin/sh", ["sh", path], dict(os.environ))  # noqa: S606  # that is the task
