"""Removing what a program left, however deep and odd.

This module runs in the zygote too: standard library only.
"""

# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH112, PTH208
# (paths are strings here: pathlib is dear)

from __future__ import annotations

import os
import stat

__all__ = ["remove_tree"]


def remove_tree(directory: str) -> None:
    """Remove a directory that a program filled, however deep and odd it is.

    Nested directories are moved up first, so that no path grows long.
    """
    if not directory or not os.path.isdir(directory):
        return
    prefix = f"{directory}/{os.urandom(8).hex()}"  # no name that it has
    queue, moved = [directory], 0
    while queue:
        here = queue.pop()
        os.chmod(here, stat.S_IRWXU)
        for name in os.listdir(here):
            path = f"{here}/{name}"
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            moved += 1
            os.chmod(path, stat.S_IRWXU)  # or it cannot be moved
            os.rename(path, f"{prefix}{moved}")
            queue.append(f"{prefix}{moved}")
        if here != directory:
            os.rmdir(here)
    os.rmdir(directory)
