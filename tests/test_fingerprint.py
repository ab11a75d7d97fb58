"""The hash of an environment's code: stable, and changed by changes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gym.fingerprint import code_hash
from tests.sample_envs import EchoEnv, VaultEnv

CONSOLE = """
from llm_gym.fingerprint import code_hash
class Made:
    KIND = "made"
    def run(self, text):
        inner = lambda: text in {"a", "b", "CHANGED"}
        return inner()
print(code_hash(Made))
"""


def run(code, hash_seed="0"):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_a_hash_is_short_and_depends_on_the_class():
    assert len(code_hash(VaultEnv)) == 16
    assert int(code_hash(VaultEnv), 16)
    assert code_hash(VaultEnv) == code_hash(VaultEnv) != code_hash(EchoEnv)


@pytest.mark.parametrize("edit", ["", "# a comment\n"])
def test_a_hash_changes_with_the_source(tmp_path, monkeypatch, edit):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "edited_module.py"
    file.write_text("class Made: pass\n")
    first = code_hash(importlib.import_module("edited_module").Made)
    file.write_text(f"{edit}class Made: pass\n")
    monkeypatch.delitem(sys.modules, "edited_module")
    second = code_hash(importlib.import_module("edited_module").Made)
    monkeypatch.delitem(sys.modules, "edited_module")
    assert (first == second) == (edit == "")


def test_a_hash_changes_with_the_source_of_a_base(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "child_module.py").write_text(
        "from base_module import Base\nclass Child(Base): ...\n"
    )
    hashes = set()
    for body in ("...", "x = 1"):
        (tmp_path / "base_module.py").write_text(f"class Base: {body}\n")
        importlib.invalidate_caches()
        hashes.add(code_hash(importlib.import_module("child_module").Child))
        for name in ("child_module", "base_module"):
            monkeypatch.delitem(sys.modules, name)
    assert len(hashes) == 2


def test_a_hash_changes_with_what_the_module_uses_of_its_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "made_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text(
        "from made_package import used\n"
        "from made_package.deep import f\n"
        "class Made: ...\n"
    )
    hashes = []
    for edited in ("used", "deep", "unused", "none"):
        for name in ("used", "deep", "unused"):
            text = "def f(): return 1\n" if name == edited else "def f(): ...\n"
            (package / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        importlib.import_module("made_package.unused")
        hashes.append(code_hash(importlib.import_module("made_package.main").Made))
        for name in [name for name in sys.modules if name.startswith("made_package")]:
            monkeypatch.delitem(sys.modules, name)
    assert len(set(hashes)) == 3
    assert hashes[2] == hashes[3]


def made_class(body):
    """Define a class as a console would: in a module without a file."""
    space = {"__name__": "made_in_a_console"}
    exec(body.rpartition("print")[0], space)
    return space["Made"]


def test_a_class_without_a_file_is_hashed_by_its_code():
    changed = CONSOLE.replace("CHANGED", "changed")
    assert code_hash(made_class(CONSOLE)) == code_hash(made_class(CONSOLE))
    assert code_hash(made_class(CONSOLE)) != code_hash(made_class(changed))
    assert len(code_hash(made_class(CONSOLE))) == 16


def test_a_class_without_a_file_has_the_same_hash_in_every_process():
    assert run(CONSOLE) == run(CONSOLE, hash_seed="1")
