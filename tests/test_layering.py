"""The layers: a module imports its own layer or a lower one. And a test of the test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "llm_gym"
LAYERS = (
    "errors jsontext messages replies spaces validation shapes seeding",
    "tools tasks tokens trajectory transcript fingerprint verifiers dispatch episode"
    " store threads policy asking sandbox workers users",
    "env vector",
    "registration",
    "envs wrappers policies testing bridges",
    "rollouts",
    "__init__",
    "checks adapters",
    "cli",
    "__main__",
)
RANKS = {part: rank for rank, parts in enumerate(LAYERS) for part in parts.split()}
STRANGERS = {
    ("envs", "policies"),
    ("policies", "envs"),
    ("envs", "wrappers"),
    ("wrappers", "envs"),
}
HEAVY = {"torch", "transformers", "vllm", "trl", "verl", "unsloth", "ray", "datasets"}
HEAVY |= {"aiohttp"}


def modules(root: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the package, by dotted name."""
    trees = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(), str(path))
    return trees


def imports(tree: ast.AST, known: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield what a module imports, and whether it does so at module level."""
    inner = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, (ast.FunctionDef, ast.AsyncFunctionDef))
        or only_typing(block)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield (full if full in known else base), id(node) not in inner


def only_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def part(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def violations(root: Path) -> list[str]:
    """Return every import that breaks a rule, in words."""
    trees = modules(root)
    found = []
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        for target, at_top in imports(tree, set(trees)):
            if target.startswith("."):
                found.append(f"{name}: relative import of {target}")
            elif target.split(".")[0] == root.name:
                graph.setdefault(name, set()).add(target)
                here, there = part(name), part(target)
                if RANKS[there] > RANKS[here] or (here, there) in STRANGERS:
                    found.append(
                        f"{name}: imports {target} of a layer that it may not know"
                    )
            elif at_top and target.split(".")[0] in HEAVY:
                found.append(f"{name}: imports {target} at module level")
    return found + [f"cycle: {' -> '.join(cycle)}" for cycle in cycles(graph)]


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return import cycles: the path along which a module comes to itself."""
    found, done = [], set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def test_every_module_keeps_to_its_layer():
    assert violations(PACKAGE) == []


def test_every_part_of_the_package_has_a_layer():
    assert {part(name) for name in modules(PACKAGE)} <= RANKS.keys()


@pytest.mark.parametrize(
    ("planted", "text", "found"),
    [
        ("tools", "from llm_gym.env import ToolEnv", "tools: imports llm_gym.env"),
        ("env", "def f():\n    import llm_gym.cli", "env: imports llm_gym.cli"),
        ("errors", "from llm_gym import tools", "errors: imports llm_gym.tools"),
        ("errors", "import llm_gym", "errors: imports llm_gym of"),
        (
            "envs.a",
            "from llm_gym.policies.b import c",
            "envs.a: imports llm_gym.policies",
        ),
        (
            "envs.a",
            "import llm_gym.rollouts.engine",
            "envs.a: imports llm_gym.rollouts",
        ),
        (
            "policies.a",
            "from llm_gym.envs import b",
            "policies.a: imports llm_gym.envs",
        ),
        ("tools", "from . import tasks", "tools: relative import of ."),
        ("tools", "from .tasks import Task", "tools: relative import of .tasks"),
        (
            "policies.a",
            "import torch.nn",
            "policies.a: imports torch.nn at module level",
        ),
        (
            "env",
            "try:\n    from transformers import x\nexcept E: ...",
            "env: imports transf",
        ),
        ("tools", "import llm_gym.tools", "cycle: llm_gym.tools -> llm_gym.tools"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, planted, text, found):
    root = tmp_path / "llm_gym"
    for name in ("__init__", "tools", "tasks", "env", planted):
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    path.write_text(text)
    assert any(
        line.startswith(("llm_gym." + found, found)) for line in violations(root)
    )


@pytest.mark.parametrize(
    "text",
    [
        "from llm_gym.tasks import Task",
        "def f():\n    import torch",
        "import json, gymnasium",
    ],
)
def test_an_honest_import_is_not_found(tmp_path, text):
    root = tmp_path / "llm_gym"
    root.mkdir()
    for name in ("__init__", "tasks"):
        (root / f"{name}.py").write_text("")
    (root / "tools.py").write_text(text)
    assert violations(root) == []


def test_a_cycle_of_two_modules_is_found(tmp_path):
    root = tmp_path / "llm_gym"
    root.mkdir()
    (root / "tools.py").write_text("from llm_gym.tasks import a")
    (root / "tasks.py").write_text("def f():\n    from llm_gym.tools import b")
    assert violations(root) == [
        "cycle: llm_gym.tasks -> llm_gym.tools -> llm_gym.tasks"
    ]
