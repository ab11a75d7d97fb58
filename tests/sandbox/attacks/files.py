"""Traps for whoever reads, writes or lists files on the program's behalf."""

# ruff: noqa: E501
# (programs, as they are)

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.sandbox.attacks.model import FORKING, WITH_SESSIONS, Attack

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gym.sandbox.base import Result, Sandbox, Session
    from tests.sandbox.attacks.scene import Scene

    Use = Callable[[Session, Scene], None]

NOT_READABLE = """\
import os
print("go")
os.symlink("@SECRET_FILE@", "soft")
os.symlink("soft", "soft2")
os.symlink("@TMP@", "folder")
os.symlink("/proc/self", "magic")
os.symlink(".", "loop")
os.mkdir("real")
open("real/file", "w").write("fine")
try: os.mkfifo("fifo")
except OSError: os.mkdir("fifo")  # no program may make one; a directory is as bad
open("fine.txt", "w").write("fine")
"""
PATHS = (
    "soft",
    "soft2",
    "folder/secret.txt",
    "magic/environ",
    "loop/fine.txt",
    "loop/loop/loop/fine.txt",
    "fifo",
    "real",
    ".",
    "missing",
    "real/../../../../../../../../etc/passwd",
    "../fine.txt",
    "/etc/passwd",
    "fine.txt\0",
    "\0",
    "",
    "//etc/passwd",
    "x" * 5000,
    "a/" * 3000,
    "\ud800",
)


def _in_session(use: Use) -> Callable[[Sandbox, Scene, str], list[Result]]:
    def drive(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
        with sandbox.session(limits=scene.limits(wall_seconds=3.0)) as session:
            results = [session.run(program)]
            use(session, scene)
            results.append(session.run("print('go')"))
        return results

    return drive


def _refused(action: Callable[[], object]) -> object | None:
    """Return what an action gave, None where it was refused in a documented way."""
    try:
        return action()
    except (ValueError, OSError):
        return None


def _read_all(session: Session, scene: Scene) -> None:
    for path in PATHS:
        for most in (2**20, 1):
            got = _refused(lambda p=path, m=most: session.read_file(p, max_bytes=m))
            if got is not None:
                scene.note(f"read_file({path[:40]!r}) gave {got[:60]!r}")  # type: ignore[index]
    if session.read_file("fine.txt") != b"fine":
        scene.note("an honest file could not be read")


def _list_all(session: Session, scene: Scene) -> None:
    names = session.list_files()
    if names != ["fine.txt", "real/file"]:
        scene.note(f"list_files() gave {names}")


def _write_all(session: Session, scene: Scene) -> None:
    for path in ("soft", "soft2", "folder/attack-" + scene.token, "loop/x", "../x",
                 "/tmp/attack-" + scene.token, "magic/x", "fifo", "real", "", "x\0y", "a/../../x"):  # fmt: skip
        got = _refused(lambda p=path: session.write_file(p, "attacked") or "written")
        if got is not None:
            scene.note(f"write_file({path!r}) was not refused")
    session.write_file("real/file", "new")
    session.write_file("new/below/file", b"\0\xff")
    if session.read_file("new/below/file") != b"\0\xff":
        scene.note("an honest file could not be written")


def _read_giants(session: Session, scene: Scene) -> None:
    for path in ("giant", "long"):
        got = _refused(lambda p=path: session.read_file(p, max_bytes=4096))
        if got is not None:
            scene.note(f"read_file({path!r}) gave {len(got)} bytes")  # type: ignore[arg-type]


def _list_many(session: Session, scene: Scene) -> None:
    names = _refused(session.list_files)
    if names is not None and len(names) > 2000:  # type: ignore[arg-type]
        scene.note("list_files() gave more names than the session may have")


def _read_deep(session: Session, scene: Scene) -> None:
    _refused(session.list_files)
    _refused(lambda: session.read_file("d/" * 300 + "end"))


def _race(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    """Read and write while the program swaps a file for a link as fast as it can."""
    results: list[Result] = []
    with sandbox.session(limits=scene.limits(wall_seconds=1.5)) as session:
        swapper = threading.Thread(target=lambda: results.append(session.run(program)))
        swapper.start()
        while swapper.is_alive():
            for path in ("swapped", "box/secret.txt"):
                _refused(lambda p=path: scene.look(session.read_file(p)))
            for path in ("swapped", "box/attack-" + scene.token):
                _refused(lambda p=path: session.write_file(p, "mine"))
            _refused(session.list_files)
        swapper.join()
        results.append(session.run("print('go')"))
    return results


def _bad_files(sandbox: Sandbox, scene: Scene, program: str) -> list[Result]:
    for path in ("/tmp/attack-" + scene.token, "../attack-" + scene.token, "a/../../x", "", ".",
                 "..", "x\0y", "//x", "a//../../..//b"):  # fmt: skip
        got = _refused(
            lambda p=path: sandbox.run(
                program, files={p: "attacked"}, limits=scene.limits()
            )
        )
        if got is not None:
            scene.note(f"files={{{path!r}: ...}} was not refused")
    return [sandbox.run(program, files={"a/b": "fine"}, limits=scene.limits())]


def _attack(name: str, program: str, use: Use, **other: object) -> Attack:
    return Attack(
        name,
        "files",
        program,
        drive=_in_session(use),
        tiers=WITH_SESSIONS,
        **other,  # type: ignore[arg-type]
    )


ATTACKS = [
    _attack("links_and_pipes_read", NOT_READABLE, _read_all),
    _attack("links_and_pipes_listed", NOT_READABLE, _list_all),
    _attack("links_and_pipes_written", NOT_READABLE, _write_all),
    _attack(
        "giants_read",
        """
print("go")
import os
open("giant", "w").write("x" * 5000)
try: os.truncate("giant", 2**42)
except OSError as error: print("refused", error)
open("long", "w").write("x" * 5000)
""",
        _read_giants,
    ),
    _attack(
        "many_files_listed",
        """
print("go", flush=True)
for i in range(10**5):
    try: open(f"file{i}", "w").close()
    except OSError: break
""",
        _list_many,
    ),
    _attack(
        "deep_directories_listed",
        """
print("go", flush=True)
import os
try:
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
except OSError as error: print("refused", error)
""",
        _read_deep,
    ),
    _attack(
        "closed_directories",
        "print('go')\nimport os\nos.mkdir('d')\nopen('d/f', 'w').close()\nos.chmod('d', 0)\n"
        "open('f', 'w').close()\nos.chmod('f', 0)\nos.chmod('.', 0)\n",
        _read_deep,
    ),
    Attack(
        "file_swapped_for_a_link",
        "files",
        """
print("go", flush=True)
import os, time
os.symlink("@SECRET_FILE@", "link")
os.symlink("@TMP@", "folder")
os.mkdir("box")
end = time.monotonic() + 0.8
while time.monotonic() < end:
    try:
        open("plain", "w").write("fine")
        os.rename("plain", "swapped")
        os.symlink("@OPEN_FILE@", "again")
        os.rename("again", "swapped")
        os.rename("box", "kept"); os.rename("folder", "box")
        os.rename("box", "folder"); os.rename("kept", "box")
    except OSError: pass
""",
        drive=_race,
        tiers=WITH_SESSIONS,
    ),
    Attack("paths_of_given_files", "files", "print('go')", drive=_bad_files),
    Attack(
        "shell_leaves_links",
        "files",
        "echo go\nln -s @SECRET_FILE@ fine.txt\nmkfifo fifo\nmkdir real\necho x > real/file\n",
        tiers=FORKING,
        language="shell",
    ),
]
