"""Honest programs run as they would anywhere, on every tier, as every user."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.sandbox.benign import FORKING, PROGRAMS
from tests.sandbox.guard import guarded
from tests.sandbox.test_attacks import TIERS, USERS


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("tier", TIERS)
def test_honest_programs_run_as_anywhere(tier, user):
    if tier == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    ran = guarded("tests.sandbox.run_benign", tier, user=user)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {line["name"]: line["wrong"] for line in lines if line["wrong"]} == {}
    count = len(PROGRAMS) + (0 if tier == "landlock" else len(FORKING))
    assert len(lines) == 2 * count


def test_there_are_twenty_honest_programs_of_each_kind():
    names = {benign.name for benign in [*PROGRAMS, *FORKING]}
    assert len(names) == len(PROGRAMS) + len(FORKING)
    assert len(PROGRAMS) >= 20
