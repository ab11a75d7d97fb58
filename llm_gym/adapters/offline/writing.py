"""Writes rows: JSON lines, parquet, or the folder of a saved dataset."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_gym.adapters.offline.rows import Column, Row, columns_of
from llm_gym.errors import require

__all__ = [
    "check_out",
    "features_of",
    "is_long",
    "load_rows",
    "report_path",
    "write_rows",
]

_CHUNK = 1_000
"""Rows that stand in memory as Python objects at once."""
_GUESSED_BYTES = 10 << 20
"""The `chunksize` of datasets' reader of JSON lines (5.2)."""


def check_out(out: str | Path, *, overwrite: bool) -> Path:
    """Return the path to write to.

    Args:
        out: `NAME.jsonl`, `NAME.parquet`, or the name of a folder.
        overwrite: Whether something may be there already.

    Raises:
        ValueError: Its suffix is another, or something is there.
    """
    path = Path(out)
    if path.suffix not in ("", ".jsonl", ".parquet"):
        raise ValueError(
            "the output must be NAME.jsonl, NAME.parquet, or a folder's name without "
            f"a suffix, not {str(out)!r}"
        )
    if path.suffix != ".jsonl":
        require("datasets", extra="trl")
    if path.exists() and not overwrite:
        raise ValueError(
            f"{str(out)!r} exists: name another, or say that it may be overwritten"
        )
    folder = path.is_dir()
    if folder and (path.suffix or not _is_ours(path)):
        raise ValueError(f"{str(out)!r} is a folder, and no saved dataset")
    return path


def report_path(out: Path) -> Path:
    """Return where the report stands, beside the output."""
    return out.with_name(out.name + ".report.json")


def is_long(out: Path) -> bool:
    """Whether a file is longer than what datasets looks at to guess its columns."""
    return out.stat().st_size > _GUESSED_BYTES


def write_rows(rows: Iterable[Row], out: Path) -> tuple[int, dict[str, Column]]:
    """Write rows; a reader sees all of them or nothing.

    Args:
        rows: The rows; all have the same columns.
        out: What `check_out` returned.

    Returns:
        How many there were, and the columns; nothing is written for none.
    """
    stream = iter(rows)
    first = next(stream, None)
    if first is None:
        return 0, {}
    columns = columns_of(first)
    stream = itertools.chain([first], stream)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    _remove(part)
    try:
        count = (_write_lines if out.suffix == ".jsonl" else _write_arrow)(
            stream, columns, part, out.suffix
        )
        _remove(out)
        part.rename(out)
    finally:
        _remove(part)
    return count, columns


def load_rows(path: str | Path) -> Any:
    """Load what was exported as a `datasets.Dataset`, whichever form it has.

    Parquet and folders hold the types of their columns. Lines of JSON do not: left to
    itself, datasets guesses them from the first 10 MB, and gives later tool calls the
    arguments of the first ones, as None, or refuses them.

    Raises:
        ValueError: There is nothing that an export wrote.
        MissingDependencyError: datasets is not installed.
    """
    datasets = require("datasets", extra="trl")
    path = Path(path)
    if path.is_dir():
        return datasets.load_from_disk(path)
    if path.suffix == ".parquet":
        return datasets.Dataset.from_parquet(str(path))
    try:
        with path.open(encoding="utf-8") as lines:
            columns = columns_of(json.loads(lines.readline()))
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ValueError(f"{str(path)!r} is nothing that was exported: {err}") from err
    return datasets.Dataset.from_json(str(path), features=features_of(columns))


def features_of(columns: Mapping[str, Column]) -> Any:
    """Return the `datasets.Features` of columns.

    Messages and tools are lists of JSON values: as structs Arrow would give each call
    the arguments of every other call, as None.
    """
    datasets = require("datasets", extra="trl")
    value, several = datasets.Value, datasets.List
    kinds = {
        "messages": several(datasets.Json()),
        "json": datasets.Json(),
        "text": value("string"),
        "whole": value("int64"),
        "number": value("float64"),
        "truth": value("bool"),
        "wholes": several(value("int64")),
        "numbers": several(value("float64")),
    }
    return datasets.Features({name: kinds[kind] for name, kind in columns.items()})


def _write_lines(
    rows: Iterator[Row], columns: Mapping[str, Column], path: Path, suffix: str
) -> int:
    count = 0
    with path.open("w", encoding="ascii") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            count += 1
    return count


def _write_arrow(
    rows: Iterator[Row], columns: Mapping[str, Column], path: Path, suffix: str
) -> int:
    datasets = require("datasets", extra="trl")
    features = features_of(columns)
    with _quietly(datasets):
        chunks = []
        while chunk := list(itertools.islice(rows, _CHUNK)):
            chunks.append(datasets.Dataset.from_list(chunk, features=features))
        dataset = datasets.concatenate_datasets(chunks)
        if suffix == ".parquet":
            dataset.to_parquet(path)
        else:
            dataset.save_to_disk(path)
    return len(dataset)


@contextmanager
def _quietly(datasets: Any) -> Iterator[None]:
    """Show no progress bars: standard error is for what went wrong."""
    were = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not were:
            datasets.enable_progress_bars()


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a saved dataset, and so may be written over."""
    return (folder / "dataset_info.json").is_file()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
