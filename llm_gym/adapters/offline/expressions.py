"""A small language to choose episodes by: `reward >= 0.8 and turns < 10 and valid`.

It has comparisons, `and`, `or`, `not`, `in`, `is None`, the four operations of
arithmetic, numbers, texts, and the names of fields; nothing can be called, looked into
or assigned. Python's own parser reads it, each node is then checked against a list of
what is allowed, and its kind (number, text, yes or no) is known before the first
episode is looked at. Nothing is ever handed to `eval`.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Expression", "Kind", "UntoldError", "parse"]

Kind = Literal["number", "text", "truth"]
Value: TypeAlias = float | str | bool
Facts: TypeAlias = Mapping[str, Value | None]

MAX_CHARS = 2_000
MAX_NODES = 300
MAX_DEPTH = 30
MAX_NUMBER = 2**53
"""The greatest number that may be written; beyond it floats are not exact."""
PARTS = "parts"
"""`parts.NAME` is part NAME of an episode's score."""


class UntoldError(ValueError):
    """An expression asks for a field that this episode does not tell.

    Args:
        name: The field.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"`{name}` is not told")


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: As it was written.
        kind: What it comes to.
        names: The fields that it asks for.
    """

    text: str
    kind: Kind
    names: frozenset[str]
    _run: Callable[[Facts], Value]

    def __call__(self, facts: Facts) -> Value:
        """Return what the expression comes to for an episode.

        Args:
            facts: The fields by name, None where one is not told.

        Raises:
            UntoldError: It asks for a field that is not told.
            ValueError: It divides by zero, or comes to no finite number.
        """
        try:
            value = self._run(facts)
        except ZeroDivisionError as err:
            raise ValueError(f"`{self.text}` divides by zero") from err
        except OverflowError as err:
            raise ValueError(f"`{self.text}` comes to no finite number") from err
        if self.kind == "number" and not math.isfinite(value):  # type: ignore[arg-type]
            raise ValueError(f"`{self.text}` comes to {value!r}, no finite number")
        return value

    def check_parts(self, known: Collection[str]) -> None:
        """Refuse a part of a score that no episode has.

        Args:
            known: The names of all parts, without `parts.`.

        Raises:
            ValueError: One is unknown; the message lists those that are known.
        """
        for name in sorted(self.names):
            table, dot, part = name.partition(".")
            if dot and table == PARTS and part not in known:
                raise ValueError(
                    f"`{name}` in {self.text!r}: no episode's score has this part"
                    + _suggestion(part, known)
                    + f"; the parts are {_listed(known)}"
                )


def parse(
    text: str, fields: Mapping[str, Kind], wanted: Kind, what: str = "the filter"
) -> Expression:
    """Parse an expression.

    Args:
        text: What a person wrote.
        fields: The names that it may ask for, besides `parts.NAME`.
        wanted: What it must come to.
        what: What it is, for messages.

    Raises:
        ValueError: It is too long, does not follow the language, names an unknown
            field, mixes kinds, or comes to something else; the message says where.
    """
    tree = _tree(text, what)
    compiler = _Compiler(fields, f"{what} {text!r}")
    kind, run = compiler.compile(tree)
    if kind != wanted:
        raise ValueError(
            f"{what} {text!r} must come to {_A[wanted]}, it comes to {_A[kind]}"
        )
    return Expression(text, wanted, frozenset(compiler.names), run)


def _tree(text: str, what: str) -> ast.expr:
    if len(text) > MAX_CHARS:
        raise ValueError(
            f"{what} has {len(text)} characters, at most {MAX_CHARS} are read"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "1or 2", "\d": say so, do not guess
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as err:
        where = getattr(err, "offset", None)
        raise ValueError(
            f"{what} {text!r} cannot be read"
            + (f" at character {where}" if where else "")
            + f": {getattr(err, 'msg', None) or err}"
        ) from err
    except (RecursionError, MemoryError) as err:
        raise ValueError(f"{what} is nested too deeply") from err
    _bound(tree, what)
    return tree


def _bound(tree: ast.expr, what: str) -> None:
    """Refuse a tree that is too large or too deep, without recursion."""
    level: list[ast.AST] = [tree]
    nodes = depth = 0
    while level:
        nodes += len(level)
        depth += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError(
                f"{what} is too large: at most {MAX_NODES} names, numbers and "
                f"operations, nested at most {MAX_DEPTH} deep"
            )
        level = [child for node in level for child in ast.iter_child_nodes(node)]


_Run: TypeAlias = Callable[[Facts], Any]
_Kind: TypeAlias = Literal["number", "text", "truth", "list", "none"]
_Typed: TypeAlias = tuple[_Kind, _Run]

_A: dict[str, str] = {
    "number": "a number",
    "text": "a text",
    "truth": "yes or no",
    "list": "a list",
    "none": "None",
}
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITIES: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_SUMS: dict[type[ast.operator], Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class _Compiler:
    """Turns an allowed tree into functions, each of a known kind."""

    def __init__(self, fields: Mapping[str, Kind], where: str) -> None:
        self.names: set[str] = set()
        self._fields = fields
        self._where = where

    def compile(self, node: ast.expr) -> _Typed:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise self._refuse(node, f"{_NAMES_OF.get(type(node), 'this')} is not")
        return handler(self, node)

    def constant(self, node: ast.Constant) -> _Typed:
        value = node.value
        if value is None:
            return "none", lambda facts: None
        if isinstance(value, bool):
            return "truth", lambda facts: value
        if isinstance(value, str):
            return "text", lambda facts: value
        if isinstance(value, (int, float)) and abs(value) <= MAX_NUMBER:
            return "number", lambda facts: value
        raise self._refuse(node, f"{str(value)[:40]} is not")

    def name(self, node: ast.Name) -> _Typed:
        if node.id == PARTS:
            raise self._error(node, "write `parts.NAME` for a part of the score")
        if node.id not in self._fields:
            raise self._error(
                node,
                f"`{node.id}` is no field{_suggestion(node.id, self._fields)}; "
                f"the fields are {_listed(self._fields)}, and `parts.NAME`",
            )
        return self._field(node.id, self._fields[node.id])

    def part(self, node: ast.expr) -> _Typed:
        """Read `parts.NAME`, or `parts["NAME"]` where NAME is no plain word."""
        found: str | None = None
        if isinstance(node, ast.Attribute):
            found = node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found = node.slice.value if isinstance(node.slice.value, str) else None
        of = getattr(node, "value", None)
        if found is None or not isinstance(of, ast.Name) or of.id != PARTS:
            raise self._refuse(node, "looking into anything but `parts` is not")
        return self._field(f"{PARTS}.{found}", "number")

    def _field(self, name: str, kind: Kind) -> _Typed:
        self.names.add(name)

        def read(facts: Facts) -> Value:
            value = facts.get(name)
            if value is None:
                raise UntoldError(name)
            return value

        return kind, read

    def connective(self, node: ast.BoolOp) -> _Typed:
        runs = [self._truth(value) for value in node.values]
        combine = all if isinstance(node.op, ast.And) else any
        return "truth", lambda facts: combine(run(facts) for run in runs)

    def unary(self, node: ast.UnaryOp) -> _Typed:
        if isinstance(node.op, ast.Not):
            of = self._truth(node.operand)
            return "truth", lambda facts: not of(facts)
        if isinstance(node.op, ast.USub):
            run = self._number(node.operand)
            return "number", lambda facts: -run(facts)
        raise self._refuse(node, "this sign is not")

    def arithmetic(self, node: ast.BinOp) -> _Typed:
        operation = _SUMS.get(type(node.op))
        if operation is None:
            raise self._refuse(node, "an operation other than + - * / is not")
        left, right = self._number(node.left), self._number(node.right)
        return "number", lambda facts: operation(left(facts), right(facts))

    def listed(self, node: ast.List | ast.Tuple) -> _Typed:
        items = [self.compile(item) for item in node.elts]
        if not all(isinstance(item, ast.Constant) for item in node.elts):
            raise self._refuse(node, "a list of anything but numbers and texts is not")
        values = [run({}) for _, run in items]
        return "list", lambda facts: values

    def comparison(self, node: ast.Compare) -> _Typed:
        terms = [node.left, *node.comparators]
        tests = [
            self._pair(op, left, right)
            for op, left, right in zip(node.ops, terms, terms[1:], strict=False)
        ]
        return "truth", lambda facts: all(test(facts) for test in tests)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> _Run:
        if isinstance(op, (ast.Is, ast.IsNot)):
            return self._is_none(left, right, wanted=isinstance(op, ast.Is))
        if isinstance(op, (ast.In, ast.NotIn)):
            return self._membership(left, right, wanted=isinstance(op, ast.In))
        kind, of_left = self.compile(left)
        other, of_right = self.compile(right)
        compare = {**_ORDERS, **_EQUALITIES}[type(op)]
        ordered = kind in ("number", "text") or type(op) in _EQUALITIES
        if kind != other or not ordered or kind in ("none", "list"):
            raise self._error(
                left,
                f"{_A[kind]} cannot be compared with {_A[other]} in this way"
                + ("; write `is None`" if "none" in (kind, other) else ""),
            )
        return lambda facts: compare(of_left(facts), of_right(facts))

    def _is_none(self, left: ast.expr, right: ast.expr, *, wanted: bool) -> _Run:
        none = isinstance(right, ast.Constant) and right.value is None
        if not none or not isinstance(left, (ast.Name, ast.Attribute, ast.Subscript)):
            raise self._refuse(left, "`is` but in `FIELD is None` is not")
        before = set(self.names)
        self.names = set()
        self.compile(left)
        (name,) = self.names
        self.names |= before
        return lambda facts: (facts.get(name) is None) == wanted

    def _membership(self, left: ast.expr, right: ast.expr, *, wanted: bool) -> _Run:
        kind, needle = self.compile(left)
        other, hay = self.compile(right)
        if kind not in ("number", "text") or other not in ("list", "text"):
            raise self._error(
                left, f"{_A[kind]} cannot be looked for in {_A[other]} by `in`"
            )
        if other == "text" and kind != "text":
            raise self._error(left, "only a text can be looked for in a text")
        return lambda facts: (needle(facts) in hay(facts)) == wanted

    def _truth(self, node: ast.expr) -> _Run:
        kind, run = self.compile(node)
        if kind != "truth":
            raise self._error(node, f"expected yes or no here, found {_A[kind]}")
        return run

    def _number(self, node: ast.expr) -> _Run:
        kind, run = self.compile(node)
        if kind != "number":
            raise self._error(node, f"expected a number here, found {_A[kind]}")
        return run

    def _refuse(self, node: ast.expr, what: str) -> ValueError:
        return self._error(node, f"{what} part of this language")

    def _error(self, node: ast.expr, what: str) -> ValueError:
        return ValueError(f"{self._where}, character {node.col_offset + 1}: {what}")


_HANDLERS: dict[type[ast.expr], Callable[[_Compiler, Any], _Typed]] = {
    ast.Constant: _Compiler.constant,
    ast.Name: _Compiler.name,
    ast.Attribute: _Compiler.part,
    ast.Subscript: _Compiler.part,
    ast.BoolOp: _Compiler.connective,
    ast.UnaryOp: _Compiler.unary,
    ast.BinOp: _Compiler.arithmetic,
    ast.Compare: _Compiler.comparison,
    ast.List: _Compiler.listed,
    ast.Tuple: _Compiler.listed,
}

_NAMES_OF: dict[type[ast.expr], str] = {
    ast.Call: "a call",
    ast.Lambda: "a function",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "`if`",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "a formatted text",
    ast.Dict: "a mapping",
    ast.Set: "a set",
    ast.Starred: "`*`",
}


def _suggestion(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"
