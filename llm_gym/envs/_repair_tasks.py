"""Making the repositories of `llmgym/CodeRepair-v0`: modules, a bug, tests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

from llm_gym.envs._draws import pick, some
from llm_gym.envs._repair_module import Module
from llm_gym.envs._repair_shop import DAYS, MONEY, PRICING, SPANS, STOCK
from llm_gym.envs._repair_tools import CALC, CODES, ROUTES, STATS, TEXT
from llm_gym.errors import DefinitionError
from llm_gym.tasks import Task

__all__ = ["LEVELS", "MODULES", "generate"]

LEVELS = 4
MODULES: tuple[Module, ...] = (
    DAYS, MONEY, PRICING, SPANS, STOCK, CALC, CODES, ROUTES, STATS, TEXT,
)  # fmt: skip
_BY_NAME = {module.name: module for module in MODULES}
_COUNTS = (1, 3, 4, 5)
_BUGS = (1, 1, 1, 2)
_PACKAGES = ("depot", "harbour", "kit", "office", "station", "toolbox")
_DRAWS = 40
_HIDDEN = 8
_VISIBLE = 2

Rng = np.random.Generator
Calls = list[tuple[str, list[Any]]]
Cases = list[tuple[tuple[str, list[Any]], Any]]


def generate(rng: Rng, level: int) -> Task:
    """Make a repository with a bug that a visible test and hidden ones show.

    Args:
        rng: Where the randomness comes from.
        level: 0 one module; 1 three; 2 four; 3 five, with two bugs.
    """
    for _ in range(_DRAWS):
        package = pick(rng, _PACKAGES)
        modules = _choose(rng, _COUNTS[level])
        right = {m.name: _fill(rng, m, package) for m in modules}
        broken = _break(rng, modules, right, _BUGS[level])
        visible, hidden = _calls(rng, modules, _VISIBLE), _calls(rng, modules, _HIDDEN)
        shown, wanted = _results(right, visible), _results(right, hidden)
        if shown != _results(broken, visible) and wanted != _results(broken, hidden):
            return _task(
                package,
                right,
                broken,
                list(zip(visible, shown, strict=True)),
                list(zip(hidden, wanted, strict=True)),
            )
    raise DefinitionError(f"no bug of level {level} shows in its tests")


def _choose(rng: Rng, count: int) -> list[Module]:
    """Choose modules, with those that they need, which come first."""
    chosen: dict[str, Module] = {}
    for module in some(rng, MODULES, count):
        if module.needs:
            chosen.setdefault(module.needs, _BY_NAME[module.needs])
        chosen[module.name] = module
    return list(chosen.values())


def _fill(rng: Rng, module: Module, package: str) -> str:
    first, second = int(rng.integers(2, 7)), int(rng.integers(4, 10))
    source = module.source.replace("<A>", str(first)).replace("<B>", str(second))
    return source.replace("<package>", package)


def _break(
    rng: Rng, modules: Sequence[Module], right: Mapping[str, str], count: int
) -> dict[str, str]:
    """Put bugs into different modules."""
    broken = dict(right)
    for module in some(rng, modules, min(count, len(modules))):
        old, new = pick(rng, module.bugs)
        constant = re.search(r"\(<A> \* 3", module.source) and "<A>" in old
        if constant:  # the constants have been filled in
            value = re.search(r"FREE_UNITS = (\d+)", right[module.name])
            old, new = (
                text.replace("<A>", value[1] if value else "") for text in (old, new)
            )
        broken[module.name] = right[module.name].replace(old, new)
    return broken


def _calls(rng: Rng, modules: Sequence[Module], count: int) -> Calls:
    return [
        (f"{module.name}:{name}", arguments(rng))
        for module in modules
        for name, arguments in module.functions
        for _ in range(count)
    ]


@lru_cache(maxsize=512)
def _compiled(source: str) -> CodeType:
    return compile(source, "<module>", "exec")


def _results(sources: Mapping[str, str], calls: Calls) -> list[Any]:
    """Run our own modules here, in one namespace each, and return what calls give."""
    spaces: dict[str, dict[str, Any]] = {}
    for name, source in sources.items():
        space: dict[str, Any] = {}
        imported = re.search(r"^from \w+\.(\w+) import (\w+)\n", source, re.MULTILINE)
        if imported:
            source = source.replace(imported[0], "")
            space[imported[2]] = spaces[imported[1]][imported[2]]
        exec(_compiled(source), space)  # noqa: S102  # our own code, not a model's
        spaces[name] = space
    results = []
    for place, arguments in calls:
        module, _, name = place.partition(":")
        try:
            results.append(spaces[module][name](*_plain_copy(arguments)))
        except Exception as err:  # noqa: BLE001  # a bug may raise anything
            results.append(f"raises {type(err).__name__}")
    return results


def _task(
    package: str,
    right: Mapping[str, str],
    broken: Mapping[str, str],
    visible: Cases,
    hidden: Cases,
) -> Task:
    files = {f"{package}/{name}.py": source for name, source in broken.items()}
    files[f"{package}/__init__.py"] = ""
    for name in broken:
        mine = [case for case in visible if case[0][0].startswith(f"{name}:")]
        files[f"tests/test_{name}.py"] = _test_file(package, name, mine)
    cases = [
        {"call": f"{package}.{place}", "args": arguments, "expected": result}
        for (place, arguments), result in hidden
    ]
    fixed = {
        f"{package}/{name}.py": source
        for name, source in right.items()
        if source != broken[name]
    }
    return Task(
        prompt=_PROMPT.format(package=package),
        data={"files": dict(sorted(files.items())), "package": package},
        answer={"cases": cases, "fixed": fixed},
    )


_PROMPT = """\
Some tests of the package `{package}` fail. Find what is wrong in the package and mend \
it; what its docstrings say is right. Leave the tests as they are. When all is well, \
reply without a tool call."""


def _plain_copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_copy(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain_copy(item) for key, item in value.items()}
    return value


def _test_file(package: str, name: str, cases: Cases) -> str:
    lines = [
        "import unittest",
        "",
        f"from {package} import {name}",
        "",
        "",
        f"class {name.capitalize()}Test(unittest.TestCase):",
    ]
    for number, ((place, arguments), result) in enumerate(cases, 1):
        function = place.partition(":")[2]
        given = ", ".join(map(repr, arguments))
        lines += [
            f"    def test_{function}_{number}(self):",
            f"        self.assertEqual({name}.{function}({given}), {result!r})",
            "",
        ]
    return "\n".join(lines)
