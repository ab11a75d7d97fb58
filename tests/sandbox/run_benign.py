"""Runs the honest programs on a tier: `python -m tests.sandbox.run_benign TIER`."""

from __future__ import annotations

import json
import sys

from tests.sandbox.attacks.runner import open_tier
from tests.sandbox.benign import FORKING, PROGRAMS, Benign


def wrong(sandbox: object, benign: Benign) -> str | None:
    """Run a program; return what was wrong with what came of it."""
    result = sandbox.run(  # type: ignore[attr-defined]
        benign.program,
        stdin=benign.stdin,
        files=benign.files,
        language=benign.language,
    )
    status = "OK" if benign.code == 0 else "NONZERO"
    expected = (status, benign.code, benign.stdout, False)
    seen = (result.status.name, result.exit_code, result.stdout, result.truncated)
    return (
        None
        if seen == expected
        else f"{seen[:2]} {seen[2][-500:]!r} {result.stderr[-500:]!r}"
    )


def main(arguments: list[str]) -> int:
    """Run them twice, for the second time meets zygotes that were used."""
    (tier,) = arguments
    programs = PROGRAMS if tier == "landlock" else [*PROGRAMS, *FORKING]
    with open_tier(tier) as sandbox:
        for _ in range(2):
            for benign in programs:
                line = {"name": benign.name, "wrong": wrong(sandbox, benign)}
                sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
