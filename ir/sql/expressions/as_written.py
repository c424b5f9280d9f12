"""Rewrites an expression over cells of text files, so that it returns cells as they are written.

A cell is compared and computed with as a value of a type (`amount > 0`). Where the expression only passes it on
(`COALESCE(amount, other)`, the results of CASE) or makes text of it (`UPPER`, `||`, CAST to text), it is the text of
the file: the value of `1.10` would be written as `1.1`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from headrace.ir.sql.expressions.functions import FUNCTIONS, TEXT, TYPES
from headrace.ir.sql.expressions.tree import LIKES, Node, Tree, is_pattern, quoted_name, quoted_text

_CHOOSES = {"COALESCE": slice(0, None), "IFNULL": slice(0, None), "IF": slice(1, None)}
"""Functions that return one of these arguments."""
_EXTREMES = {"GREATEST", "LEAST"}
_MOST_COMPARED = 4
"""The most arguments of GREATEST and LEAST that are rewritten, since each is repeated for each."""
_MAKES_TEXT_OF_ALL = {"CONCAT", "CONCAT_WS"}


@dataclass(frozen=True, slots=True)
class AsWritten:
    """The rewritten expression. `values` are the cells that it reads as values of a type, `texts` those that it makes
    text of. `passed` are the cells that are its result in some row, unchanged; none, if the result is something
    else."""

    tree: Tree
    values: frozenset[str]
    texts: frozenset[str]
    passed: frozenset[str]


def as_written(
    tree: Tree,
    cells: Collection[str],
    is_text: Callable[[str], bool],
    text_of: Callable[[str], str] = lambda name: name,
    *,
    passes: bool = True,
) -> AsWritten:
    """`cells` are the columns that hold cells, and `text_of` names the column that has the text of each. `is_text` says
    whether another column is text. Without `passes` the result is needed as a value, such as a condition."""
    rewriter = _Rewriter(cells, is_text, text_of)
    for node in tree.nodes:
        rewriter.add(node)
    written = rewriter.written[-1] if passes and rewriter.passed[-1] else None
    root = rewriter.values[-1] if written is None else written
    kept = {*_reachable(rewriter.made, root)}
    values = frozenset(rewriter.read[index] for index in kept if index in rewriter.read)
    texts = frozenset[str]().union(*(rewriter.texts[index] for index in kept if index in rewriter.texts))
    passed = rewriter.passed[-1] if written is not None else frozenset[str]()
    return AsWritten(_pruned(rewriter.made, kept), values, texts, passed)


class _Rewriter:
    """Makes up to two nodes of each node of the tree, operands first: the value, and where there is one, the text as it
    is written. `values` and `written` are their indexes in `made`; `passed` are the cells that the text may be."""

    def __init__(self, cells: Collection[str], is_text: Callable[[str], bool], text_of: Callable[[str], str]) -> None:
        self._cells, self._is_text, self._text_of = cells, is_text, text_of
        self.made: list[Node] = []
        self.values: list[int] = []
        self.written: list[int | None] = []
        self.passed: list[frozenset[str]] = []
        self.read: dict[int, str] = {}
        """The nodes of `made` that read a cell as a value."""
        self.texts: dict[int, frozenset[str]] = {}
        """The nodes of `made` that make text of cells."""

    def add(self, node: Node) -> None:
        """Rewrites the next node of the tree."""
        value, written, passed = self._rewritten(node)
        self.values.append(value)
        self.written.append(written)
        self.passed.append(passed if written is not None else frozenset())

    def _rewritten(self, node: Node) -> tuple[int, int | None, frozenset[str]]:
        args = node.args
        match node.kind:
            case "column":
                return self._column(node)
            case "text" | "constant":
                value = self._made(node)
                return value, value if node.name not in ("TRUE", "FALSE") or node.kind == "text" else None, frozenset()
            case "number":
                return self._made(node), self._text(node.name), frozenset()
            case "sign" if self._tree_kind(args[0]) == "number":
                number = self.made[self.values[args[0]]].name
                return self._valued(node), self._text(f"{node.name}{number}".lstrip("+")), frozenset()
            case "call" if node.name == "NULLIF":
                return self._null_if(node)
            case "call" if node.name in _EXTREMES:
                return self._extreme(node)
        if results := chosen(node):
            return self._chosen(node, results)
        texts = {*_texts(node)}
        value = self._valued(node, texts=texts)
        self.texts[value] = frozenset[str]().union(*(self.passed[arg] for arg in texts))
        return value, value if makes_text(node) else None, frozenset()

    def _column(self, node: Node) -> tuple[int, int | None, frozenset[str]]:
        value = self._made(node)
        if node.name not in self._cells or len(node.written) != 1 or node.written[0] != quoted_name(node.name):
            return value, value if self._is_text(node.name) else None, frozenset()
        self.read[value] = node.name
        name = self._text_of(node.name)
        return value, self._made(Node("column", name, (), (quoted_name(name),))), frozenset([node.name])

    def _chosen(self, node: Node, results: set[int]) -> tuple[int, int | None, frozenset[str]]:
        """A node that returns one of the operands `results`."""
        passed = frozenset[str]().union(*(self.passed[arg] for arg in results))
        written = None
        if all(self.written[arg] is not None for arg in results):
            written = self._valued(node, texts=results, always=True)
        return self._valued(node), written, passed

    def _null_if(self, node: Node) -> tuple[int, int | None, frozenset[str]]:
        first, second = node.args
        value, text = self._valued(node), self.written[first]
        if text is None:
            return value, None, frozenset()
        same = ("CASE WHEN (", self.values[first], ") = (", self.values[second], ") THEN NULL ELSE ", text, " END")
        return value, self._case(same), self.passed[first]

    def _extreme(self, node: Node) -> tuple[int, int | None, frozenset[str]]:
        value = self._valued(node)
        texts = [self.written[arg] for arg in node.args]
        if len(texts) > _MOST_COMPARED or not all(self.passed[arg] for arg in node.args):
            return value, None, frozenset()
        parts: list[str | int] = ["CASE"]
        for arg, text in zip(node.args, texts, strict=True):
            assert text is not None
            parts += [" WHEN (", self.values[arg], ") = ", value, " THEN ", text]
        return value, self._case((*parts, " END")), frozenset[str]().union(*(self.passed[arg] for arg in node.args))

    def _case(self, written: tuple[str | int, ...]) -> int:
        args = tuple(dict.fromkeys(each for each in written if isinstance(each, int)))
        return self._made(Node("case", "searched", args, written))

    def _valued(self, node: Node, texts: Collection[int] = (), *, always: bool = False) -> int:
        """The node over values, and over the text of the operands `texts` that may be cells (`always`: of all)."""

        def operand(arg: int) -> int:
            text = self.written[arg] if arg in texts and (always or self.passed[arg]) else None
            return self.values[arg] if text is None else text

        written = tuple(each if isinstance(each, str) else operand(each) for each in node.written)
        return self._made(replace(node, args=tuple(map(operand, node.args)), written=written))

    def _tree_kind(self, arg: int) -> str:
        return self.made[self.values[arg]].kind

    def _text(self, text: str) -> int:
        return self._made(Node("text", text, (), (quoted_text(text),)))

    def _made(self, node: Node) -> int:
        self.made.append(node)
        return len(self.made) - 1


def chosen(node: Node) -> set[int]:
    """The operands of which the node returns one; empty for any other node."""
    args = node.args
    match node.kind:
        case "group":
            return {args[0]}
        case "case":
            first = 0 if node.name == "searched" else 1
            conditions = {args[at] for at in range(first, len(args) - 1, 2)} | set(args[:first])
            return set(args) - conditions
        case "call" if node.name in _CHOOSES:
            return set(args[_CHOOSES[node.name]])
        case "call" if node.name in _EXTREMES:
            return set(args)
    return set()


def makes_text(node: Node) -> bool:
    """Whether the result is text, whatever the operands are."""
    match node.kind:
        case "cast":
            return TYPES.get(node.name) == TEXT
        case "operator":
            return node.name == "||"
        case "call":
            return node.name in FUNCTIONS and FUNCTIONS[node.name].gives == TEXT
    return False


def _texts(node: Node) -> Iterator[int]:
    """The operands that are needed as text."""
    if node.kind == "match" and (node.name in LIKES or is_pattern(node)):
        yield node.args[0]
    elif node.kind != "call":
        yield from node.args if makes_text(node) else ()
    elif (function := FUNCTIONS.get(node.name)) is not None:
        for place, arg in enumerate(node.args):
            if node.name in _MAKES_TEXT_OF_ALL or function.argument(place) == TEXT:
                yield arg


def _reachable(nodes: list[Node], root: int) -> Iterator[int]:
    found, left = {root}, [root]
    while left:
        index = left.pop()
        yield index
        for each in nodes[index].written:
            if isinstance(each, int) and each not in found:
                found.add(each)
                left.append(each)


def _pruned(nodes: list[Node], kept: set[int]) -> Tree:
    places = {index: place for place, index in enumerate(sorted(kept))}
    return Tree(
        tuple(
            replace(
                nodes[index],
                args=tuple(places[arg] for arg in nodes[index].args if arg in places),
                written=tuple(each if isinstance(each, str) else places[each] for each in nodes[index].written),
            )
            for index in places
        )
    )
