"""The shape of an answer: a value, a tuple, a set, a union, a matrix, a relation.

Shapes are read from the text and compared part by part, so that a value is never the
set or the interval that it stands in, and an answer with two values never has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from llm_gym.verifiers._math_text import Refused, number, split_unit, tokens

__all__ = ["Shape", "matches", "read_shape"]

_MAX_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Shape:
    """A part of an answer.

    Attributes:
        kind: value, text, tuple, set, list, union, matrix, equation or inequality.
        items: What it is made of; the rows of a matrix are lists. The two sides of a
            relation.
        text: A value's LaTeX, a text's words, the brackets of a tuple, an operator.
        label: The variable that was said to have this value, "" for none.
        unit: A value's unit, "" for none.
    """

    kind: str
    items: tuple[Shape, ...] = ()
    text: str = ""
    label: str = ""
    unit: str = ""


def read_shape(text: str) -> Shape:
    """Read a cleaned text.

    Raises:
        Refused: Its brackets do not match, or it has too many parts.
    """
    text = text.strip()
    if not text:
        raise Refused("a part of the answer is empty")
    if number(text) is not None:
        return Shape("value", text=text)
    for reader in _READERS:
        shape = reader(text)
        if shape is not None:
            return shape
    value, unit = split_unit(text)
    return Shape("value", text=value, unit=unit)


def _words(text: str) -> Shape | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    if match[1] and (len(match[1].strip()) == 1 or number(match[1])):
        return Shape("value", text=match[1].strip())
    words = " ".join((match[1] or match[2] or "").casefold().split()).rstrip(".")
    if words in ("no solution", "no solutions", "empty set", "no real solutions"):
        return Shape("set")
    return Shape("text", text=words)


_TEXT = re.compile(r"\\text\{([^{}\\]*)\}|(no|[A-Za-z]{3,}(?: [A-Za-z]+)*)")


def _empty(text: str) -> Shape | None:
    bare = text.replace(" ", "")
    return Shape("set") if bare in ("\\emptyset", "\\{\\}") else None


def _matrix(text: str) -> Shape | None:
    match = _MATRIX.fullmatch(text)
    if match is None or "\\begin" in match[2]:
        return None
    rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", match[2]) if row.strip()]
    cells = [[cell.strip() for cell in row.split("&")] for row in rows]
    if not cells or len({len(row) for row in cells}) != 1:
        raise Refused("the rows of the matrix are not of one length")
    if sum(map(len, cells)) > _MAX_ITEMS:
        raise Refused(f"the matrix has more than {_MAX_ITEMS} entries")
    return Shape("matrix", tuple(_row(row) for row in cells))


def _row(cells: list[str]) -> Shape:
    return Shape("list", tuple(Shape("value", text=cell) for cell in cells))


_MATRIX = re.compile(r"\\begin\{([pbB]?(?:small)?matrix)\}(.*)\\end\{\1\}")


def _alternatives(text: str) -> Shape | None:
    """Read what is joined by a union sign, by "or", "and", commas."""
    parts = _split(text, _CUP)
    if len(parts) > 1:
        return _union([read_shape(part) for part in parts])
    parts = [p for p in _split(text, _JOINS) if p.strip()]
    if len(parts) < 2:
        return None
    shapes = _labelled([read_shape(part) for part in parts])
    if all(shape.kind in ("tuple", "union") and shape.label for shape in shapes):
        if not all("or" in join for join in _between(text, _JOINS)):
            raise Refused("inequalities that hold at once are not read")
        return _union(shapes)
    return Shape("list", tuple(shapes))


def _union(shapes: list[Shape]) -> Shape:
    labels = {shape.label for shape in shapes}
    parts = tuple(replace(shape, label="") for shape in shapes)
    label = labels.pop() if len(labels) == 1 else ""
    return Shape("union", parts, label=label)


def _labelled(shapes: list[Shape]) -> list[Shape]:
    """Read `x = 2, 3` as `x = 2, x = 3`."""
    first, *others = shapes
    if not first.label or any(shape.label for shape in others):
        return shapes
    return [first, *(replace(shape, label=first.label) for shape in others)]


_CUP = re.compile(r"\\cup(?![a-zA-Z])")
_JOINS = re.compile(
    r"\\text\{\s*,?\s*(?:or|and)\s*\}|\\text\{\s*,\s*\}|(?<![a-zA-Z\\])(?:or|and)(?![a-zA-Z])"
    r"|\\l(?:or|and)(?![a-zA-Z])|[,;]"
)


def _relation(text: str) -> Shape | None:
    parts = _split(text, _OPERATORS)
    if len(parts) == 1:
        return None
    operators = [_NAMES.get(op, op) for op in _between(text, _OPERATORS)]
    sides = [part.strip() for part in parts]
    if not all(sides):
        raise Refused("a side of a relation is empty")
    if len(operators) == 1 and operators[0] == "\\in" and _LABEL.fullmatch(sides[0]):
        return replace(read_shape(sides[1]), label=_name(sides[0]))
    if operators == ["="]:
        return _equation(sides[0], sides[1])
    if not set(operators) <= set(_FLIPPED):
        raise Refused("relations of this kind are not read: one value was expected")
    if len(operators) > 2:
        raise Refused("a chain of relations is not read")
    return _inequality(sides, operators)


def _equation(left: str, right: str) -> Shape:
    if _LABEL.fullmatch(left) and left not in tokens(right):
        shape = read_shape(right)
        if shape.kind != "equation" and not shape.label:
            return replace(shape, label=_name(left))
    sides = (Shape("value", text=left), Shape("value", text=right))
    return Shape("equation", sides, text="=")


def _inequality(sides: list[str], operators: list[str]) -> Shape:
    """Read an inequality, one of a variable between numbers as an interval."""
    if len(sides) == 3:
        low, name, high = sides
        if operators[0] in (">", "\\ge"):
            low, high = high, low
            operators = [_FLIPPED[op] for op in reversed(operators)]
        if set(operators) <= {"<", "\\le"} and _LABEL.fullmatch(name):
            return _interval(low, operators[0], high, operators[1], name)
        raise Refused("a chain of relations is not read")
    (left, right), op = sides, operators[0]
    if op != "\\ne" and _LABEL.fullmatch(right) and not _LABEL.fullmatch(left):
        left, right, op = right, left, _FLIPPED[op]
    if op != "\\ne" and _LABEL.fullmatch(left) and not _VARIABLE.search(right):
        if op in ("<", "\\le"):
            return _interval("-\\infty", "<", right, op, left)
        return _interval(right, _FLIPPED[op], "\\infty", "<", left)
    values = (Shape("value", text=left), Shape("value", text=right))
    return Shape("inequality", values, text=op)


def _interval(low: str, left: str, high: str, right: str, name: str) -> Shape:
    brackets = ("(" if left == "<" else "[") + (")" if right == "<" else "]")
    ends = (Shape("value", text=low), Shape("value", text=high))
    return Shape("tuple", ends, brackets, label=_name(name))


_OPERATORS = re.compile(r"=|<|>|\\(?:le|ge|ne|in|approx|equiv|sim)(?![a-zA-Z])")
_NAMES = {"\\approx": "~", "\\equiv": "~", "\\sim": "~"}
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne"}
_LABEL = re.compile(
    r"(?:[a-zA-Z]|\(\s*[a-z](?:\s*,\s*[a-z])+\s*\)|\\(?!pi(?![a-z])|infty)[a-zA-Z]+|\\text\{[^{}]*\})"
    r"(?:_\{?\w+\}?|'|\(\s*[a-zA-Z0-9]\s*\))?"
)
_VARIABLE = re.compile(r"(?<![a-zA-Z\\])[a-df-hj-zA-Z](?![a-zA-Z])")


def _name(label: str) -> str:
    return re.sub(r"[\s{}]", "", label)


def _bracketed(text: str) -> Shape | None:
    for left, right, kind in (("\\{", "\\}", "set"), ("(", ")", ""), ("[", ")", "")):
        if text.startswith(left) and text[-1:] in ")]}" and len(text) > len(left):
            right = "\\}" if kind else text[-1]
            inner = text[len(left) : len(text) - len(right)]
            if not text.endswith(right) or not _closed(inner):
                continue
            parts = _split(inner, _COMMA)
            if kind or len(parts) > 1:
                items = tuple(read_shape(part) for part in parts)
                if kind:
                    return Shape("set", items)
                return Shape("tuple", items, left + right)
    return None


_COMMA = re.compile(r"[,;]")


def _signs(text: str) -> Shape | None:
    """Read a plus-minus sign as two values."""
    if len(re.findall(r"\\pm(?![a-zA-Z])", text)) != 1:
        return None
    head, tail = re.split(r"\\pm(?![a-zA-Z])", text)
    plus = "+" if head.strip() else ""
    texts = (f"{head}{plus}{tail}", f"{head}-{tail}")
    return Shape("list", tuple(Shape("value", text=t.strip()) for t in texts))


_READERS: tuple[Callable[[str], Shape | None], ...] = (
    _empty,
    _matrix,
    _alternatives,
    _relation,
    _bracketed,
    _words,
    _signs,
)


def _top(text: str) -> Iterator[int]:
    """Yield the places outside of all brackets."""
    depth = 0
    for match in re.finditer(r"\\[{}]|[\[({\])}]|\\.|.", text):
        piece = match[0]
        if piece in ("\\{", "(", "[", "{"):
            depth += 1
        elif piece in ("\\}", ")", "]", "}"):
            depth -= 1
            if depth < 0:
                raise Refused("the brackets of the answer do not match")
        elif not depth:
            yield match.start()
    if depth:
        raise Refused("the brackets of the answer do not match")


def _closed(text: str) -> bool:
    """Say whether no bracket in a text closes one outside of it."""
    try:
        return list(_top(text)) is not None
    except Refused:
        return False


def _cuts(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    top = set(_top(text))
    return [match for match in pattern.finditer(text) if match.start() in top]


def _split(text: str, pattern: re.Pattern[str]) -> list[str]:
    """Split where a pattern stands outside of all brackets."""
    cuts = _cuts(text, pattern)
    if len(cuts) > _MAX_ITEMS:
        raise Refused(f"the answer has more than {_MAX_ITEMS} parts")
    starts = [0, *(cut.end() for cut in cuts)]
    ends = [*(cut.start() for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _between(text: str, pattern: re.Pattern[str]) -> list[str]:
    return [cut[0] for cut in _cuts(text, pattern)]


Same = Callable[[str, str], bool]
"""Says whether two values are equal; raises `Refused` where one is not judged."""


def matches(gold: Shape, came: Shape, same: Same, relation: Same) -> bool:
    """Say whether an answer has the shape and the values of what is right.

    Args:
        gold: What is right.
        came: The answer.
        same: Compares two values.
        relation: Compares two relations, each as `left OPERATOR right`, with one
            blank at either side of the operator.

    Raises:
        Refused: A value of the answer is in a form that is not judged.
    """
    gold, came = _single(gold), _single(came)
    if gold.label and came.label and gold.label != came.label:
        return False
    if came.label and not gold.label and gold.kind in ("text", "matrix"):
        return False
    if {gold.kind, came.kind} <= {"set", "list"}:
        return _any_order(gold, came, same, relation)
    if gold.kind == "equation" and came.kind == "value" and came.label:
        came = _as_equation(came)
    elif came.kind == "equation" and gold.label and _VARIABLE.search(gold.text):
        gold = _as_equation(gold)  # a variable's number must stand alone: x = 5
    if gold.kind != came.kind:
        return False
    if gold.kind == "value":
        return _same_unit(gold, came) and same(gold.text, came.text)
    if gold.kind == "union":
        return _any_order(gold, came, same, relation)
    if gold.kind in ("equation", "inequality"):
        return relation(_written(gold), _written(came))
    return (
        gold.text == came.text
        and len(gold.items) == len(came.items)
        and _in_order(gold.items, came.items, same, relation)
    )


def _in_order(
    gold: Sequence[Shape], came: Sequence[Shape], same: Same, relation: Same
) -> bool:
    pairs = zip(gold, came, strict=True)
    return all(
        matches(g, c, same, relation)
        if g.kind != "list" or c.kind != "list"
        else len(g.items) == len(c.items)
        and _in_order(g.items, c.items, same, relation)
        for g, c in pairs
    )


def _single(shape: Shape) -> Shape:
    """Take the one item of a set or a list for the value that it is."""
    if shape.kind in ("set", "list") and len(shape.items) == 1:
        item = shape.items[0]
        return replace(item, label=item.label or shape.label)
    return shape


def _any_order(gold: Shape, came: Shape, same: Same, relation: Same) -> bool:
    """Match the items one to one, whatever their order."""
    if len(gold.items) != len(came.items):
        return False
    labels = {item.label for item in gold.items}
    if len(labels) > 1 and {item.label for item in came.items} != labels:
        return False
    rest = list(came.items)
    refused: Refused | None = None
    for item in gold.items:
        for other in rest:
            try:
                found = matches(item, other, same, relation)
            except Refused as err:
                refused = err
                continue
            if found:
                rest.remove(other)
                break
        else:
            if refused is not None:
                raise refused
            return False
    return True


def _same_unit(gold: Shape, came: Shape) -> bool:
    return not gold.unit or not came.unit or gold.unit == came.unit


def _as_equation(shape: Shape) -> Shape:
    sides = (Shape("value", text=shape.label), Shape("value", text=shape.text))
    return Shape("equation", sides, text="=")


def _written(shape: Shape) -> str:
    left, right = shape.items
    return f"{left.text} {shape.text} {right.text}"
