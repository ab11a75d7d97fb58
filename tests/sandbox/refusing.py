"""Opens a sandbox where the kernel refuses what it stands on.

    python -m tests.sandbox.refusing TIERS REFUSED ...

REFUSED are names of system calls that this process, and all that it starts, may not
make: a filter of the test's own sees to that before the package is imported.
"""

from __future__ import annotations

import ctypes
import json
import platform
import struct
import sys

# On x86_64 and on arm64; and what the refusal says.
CALLS = {
    "landlock_create_ruleset": (444, 444, 38),
    "unshare": (272, 97, 1),
    "mount": (165, 40, 1),
    "seccomp": (317, 277, 22),
}


def refuse(names: list[str]) -> None:
    """Refuse system calls for good."""
    column = 0 if platform.machine() == "x86_64" else 1
    code = [struct.pack("HBBI", 0x20, 0, 0, 0)]
    for name in names:
        number, error = CALLS[name][column], CALLS[name][2]
        code.append(struct.pack("HBBI", 0x15, 0, 1, number))
        code.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error))
    code.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    held = ctypes.create_string_buffer(b"".join(code))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(code), ctypes.addressof(held))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):
        raise OSError(ctypes.get_errno(), "the test's own filter was refused")


def main(arguments: list[str]) -> int:
    """Try to open a sandbox and to run a program in it."""
    tiers, *names = arguments
    refuse(names)
    from llm_gym.errors import SandboxUnavailable
    from llm_gym.sandbox import open_sandbox

    said: dict[str, object]
    try:
        with open_sandbox(tiers=tiers.split(",")) as sandbox:  # type: ignore[arg-type]
            result = sandbox.run("import os\nprint(os.getpid() > 0)")
        said = {"isolation": sandbox.isolation, "stdout": result.stdout}
    except SandboxUnavailable as refusal:
        said = {"refused": str(refusal)}
    sys.stdout.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
