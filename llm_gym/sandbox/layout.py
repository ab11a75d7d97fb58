"""What of the machine a program may see: this interpreter's own files, and a shell's.

Runs in the zygote, which sees the paths of the interpreter that it is: standard library
only.
"""

# ruff: noqa: PTH120
# (paths as strings)

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout", "layout_of"]

_SYSTEM = """/usr/bin /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /bin /lib /lib32
/lib64 /etc/alternatives"""
_ZONES = "/usr/share/zoneinfo"
_PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of the host.

    Attributes:
        show: What can be read, each at its own place.
        mask: Directories beneath those that are to be empty: installed packages, among
            which may stand what grades the program.
    """

    show: list[str]
    mask: list[str]


def layout_of(*, whole_system: bool, python_paths: Iterable[str]) -> Layout:
    """Return what to show.

    Args:
        whole_system: Programs and libraries for a shell too.
        python_paths: Directories of packages that the caller gives.
    """
    given = [str(Path(path).resolve()) for path in python_paths]
    standard = os.path.realpath(os.path.dirname(os.__file__))
    show = [standard, *given, _ZONES, *_mapped(whole_system)]
    packages = [Path("/usr/lib/python3/dist-packages")]
    packages += [Path(standard) / name for name in _PACKAGES]
    if whole_system:
        show = [*_SYSTEM.split(), *show, os.path.realpath(sys.executable)]
        show.append(sys.executable)
        packages += [d for d in Path("/usr/lib").glob("python3*/*") if _holds(d)]
    mask = {
        str(path)
        for path in packages
        if path.is_dir() and not any(Path(g).is_relative_to(path) for g in given)
    }
    return Layout(
        list(dict.fromkeys(path for path in show if os.path.lexists(path))),
        sorted(mask),
    )


def _holds(path: Path) -> bool:
    return path.name in _PACKAGES


def _mapped(whole_system: bool) -> list[str]:
    """Return the directories of the system's libraries, and other libraries in use."""
    found: list[str] = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line[line.find("/") :] if "/" in line else ""
        if ".so" not in path or "/lib-dynload/" in path:
            continue
        parent = os.path.dirname(path)
        is_systems = parent.startswith(("/usr/lib", "/lib"))
        if is_systems and whole_system:
            continue
        found.append(parent if is_systems else path)
    return found
