"""What is checked before Unsloth trains; none of it needs Unsloth."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_gym.adapters.unsloth import (
    WINDOWS,
    check_settings,
    check_versions,
    imported_too_late,
)
from llm_gym.errors import MissingDependencyError

FITTING = {
    "unsloth": "2026.10.9",
    "trl": "1.15.0",
    "transformers": "5.17.0",
    "datasets": "4.8.5",
}


def trainer(**changes: Any) -> Any:
    """Return what is read of a trainer that passes, but for some values."""
    values = {
        "optim": "adamw_torch",
        "rows": 4,
        "num_generations": 2,
        "generation_batch_size": 8,
        "max_completion_length": 512,
        "pad_token": "<|pad|>",
        "pad_token_id": 7,
        "max_seq_length": 1024,
        **changes,
    }
    value = SimpleNamespace(**values)
    value.eos_token_id, value.chat_template = 9, "<|im_end|>"
    return SimpleNamespace(
        args=value,
        train_dataset=None if value.rows is None else [{}] * value.rows,
        processing_class=value,
        eos_token_ids=[9, 11],
        model=value,
    )


def test_windows_are_those_of_the_extra() -> None:
    table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    extra = table["project"]["optional-dependencies"]["unsloth"]
    assert {f"{name}{window}" for name, window in WINDOWS.items()} <= set(extra)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"unsloth": "2026.10.2"},
        {"unsloth": "2026.11.1.post2"},
        {"trl": "1.8.0"},
        {"transformers": "5.2.0"},
        {"datasets": "4.7.0"},
    ],
)
def test_versions_inside_the_windows_pass(found: dict[str, str]) -> None:
    check_versions({**FITTING, **found})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("unsloth", "2026.9.4"),
        ("trl", "1.7.1"),
        ("trl", "1.15.1"),
        ("trl", "1.16.0"),
        ("transformers", "5.1.0"),
        ("transformers", "5.23.0"),
        ("datasets", "5.0.0"),
        ("datasets", None),
    ],
)
def test_version_outside_names_what_is_installed_and_needed(
    name: str, found: str | None
) -> None:
    expected = rf"Unsloth needs {name}\S+ \(installed: {found or 'none'}\): pip install"
    with pytest.raises(MissingDependencyError, match=expected):
        check_versions({**FITTING, name: found})


def test_all_wrong_versions_are_named_at_once() -> None:
    with pytest.raises(MissingDependencyError, match=r"trl.*1\.16.*datasets.*5\.2"):
        check_versions({**FITTING, "trl": "1.16.0", "datasets": "5.2.0"})


@pytest.mark.parametrize(
    ("modules", "late"),
    [
        (["os", "unsloth.import_fixes", "transformers", "trl", "unsloth"], []),
        (["torch", "unsloth._version", "unsloth", "llm_gym.adapters.unsloth"], []),
        (["trl", "unsloth._version", "peft", "unsloth"], ["trl"]),
        (["peft", "transformers", "trl", "unsloth"], ["trl", "transformers", "peft"]),
        (["unsloth_zoo", "trl", "unsloth._version"], ["trl"]),
        (["transformers", "trl"], ["trl", "transformers"]),
    ],
)
def test_order_of_imports_is_read(modules: list[str], late: list[str]) -> None:
    assert imported_too_late(modules) == late


def test_spec_can_be_imported_before_unsloth() -> None:
    program = (
        "import sys, llm_gym.adapters.trl, llm_gym.adapters.unsloth as u;"
        "sys.exit(u.imported_too_late(sys.modules) != [])"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("generated", [True, False])
def test_fitting_settings_pass(generated: bool) -> None:
    check_settings(trainer(), generated=generated, has_8bit=False)
    check_settings(trainer(optim="adamw_8bit"), generated=generated, has_8bit=True)
    check_settings(trainer(rows=None), generated=generated, has_8bit=False)
    check_settings(trainer(max_seq_length=None), generated=generated, has_8bit=False)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"optim": "adamw_8bit"}, 'optim="adamw_torch"'),
        ({"optim": "paged_adamw_8bit"}, 'optim="adamw_torch"'),
        ({"rows": 3}, "`prompts` must be at least 4, .* not 3"),
        ({"pad_token_id": 9}, "`pad_token` must be"),
        ({"pad_token_id": 11}, "`pad_token` must be"),
        ({"pad_token": "<|im_end|>"}, "`pad_token` must be .* '<|im_end|>'"),
        ({"max_completion_length": 1024}, "`max_seq_length` of 1024, not be 1024"),
    ],
)
def test_settings_that_fail_in_silence_are_refused(
    changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        check_settings(trainer(**changes), generated=True, has_8bit=False)


def test_padding_is_no_matter_to_the_class_of_trl() -> None:
    check_settings(trainer(pad_token_id=9), generated=False, has_8bit=False)
