"""Statements of Go source that store into something that has a name: parsed by tree-sitter, without types.

What is stored into is told by the last name of the left side (``Seen`` of ``b.Seen = append(b.Seen, id)``) and by
the type of what stands before it, as far as one function's declarations say it: receiver, parameters, ``var``,
``x := &T{}``. A type that syntax does not tell is unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heldby.source.lines import SourceLines

if TYPE_CHECKING:
    from tree_sitter import Node

MOST_FILES: Final = 5_000
_LIST_METHODS: Final = frozenset({"PushBack", "PushFront", "InsertBefore", "InsertAfter", "PushBackList"})
_SYNC_METHODS: Final = frozenset({"Store", "LoadOrStore", "Swap", "CompareAndSwap"})
_FUNCTIONS: Final = ("function_declaration", "method_declaration")
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStore:
    """A statement that stores.

    Attributes:
        file: where it is.
        first: its first line.
        last: its last line.
        function: ``main.(*Baseline).Add``.
        package: the name in the package clause.
        text: the statement on one line, cut after 200 characters.
        verb: ``append``, ``index`` (``x[k] = v``), ``send``, ``list``, ``sync map`` or ``assign``.
        name: the field or variable that is stored into.
        owner: name of the type whose field that is, without package; empty for a variable of the package, None
            when syntax does not tell, or for a local variable.
    """

    file: Path
    first: int
    last: int
    function: str
    package: str
    text: str
    verb: str
    name: str
    owner: str | None


def stores_into(source: SourceLines, names: frozenset[str]) -> list[SourceStore]:
    """Return the statements below the folder of `source` that store into one of `names`.

    Only files that contain one of the names are parsed, at most `MOST_FILES`; a syntax error costs the
    statement that has it, not the file.
    """
    import tree_sitter_go
    from tree_sitter import Language, Parser

    parser = Parser(Language(tree_sitter_go.language()))
    wanted = [name for name in names if name]
    found: list[SourceStore] = []
    parsed = 0
    for path in sorted(source.files()):
        text = "\n".join(source.lines_of(path))
        if parsed < MOST_FILES and any(name in text for name in wanted):
            parsed += 1
            tree = parser.parse(text.encode())
            found += [store for store in _File(path, tree.root_node).stores() if store.name in names]
    return found


class _File:
    """One file's declarations and statements."""

    def __init__(self, path: Path, root: Node) -> None:
        self._path = path
        self._root = root
        clause = next((node for node in root.named_children if node.type == "package_clause"), None)
        self.package = _text(clause.named_children[0]) if clause is not None and clause.named_children else ""
        self._variables = {
            _text(name): _declared(spec)
            for node in _below(root, {"var_spec"}, outside=_FUNCTIONS)
            for spec in (node,)
            for name in spec.children_by_field_name("name")
        }
        self._structs = {
            _text(name): _fields(kind)
            for node in _below(root, {"type_spec"})
            if (name := node.child_by_field_name("name")) is not None
            and (kind := node.child_by_field_name("type")) is not None
            and kind.type == "struct_type"
        }

    def stores(self) -> Iterator[SourceStore]:
        """Yield the statements of all functions."""
        for function in _below(self._root, set(_FUNCTIONS)):
            locals_ = _locals(function)
            name = _function_name(self.package, function)
            for verb, target, statement in _storing_nodes(function):
                store = self._store(verb, target, statement, name, locals_)
                if store is not None:
                    yield store

    def _store(
        self, verb: str, target: Node, statement: Node, function: str, locals_: dict[str, str]
    ) -> SourceStore | None:
        target = _bare(target)
        owner: str | None
        if target.type == "identifier":
            name = _text(target)
            owner = None if name in locals_ else ""
        elif target.type == "selector_expression":
            field, operand = target.child_by_field_name("field"), target.child_by_field_name("operand")
            if field is None or operand is None:
                return None
            name, owner = _text(field), self._type_of(_bare(operand), locals_) or None
        else:
            return None
        return SourceStore(
            file=self._path,
            first=statement.start_point[0] + 1,
            last=statement.end_point[0] + 1,
            function=function,
            package=self.package,
            text=" ".join(_text(statement).split())[:_LONGEST],
            verb=verb,
            name=name,
            owner=owner,
        )

    def _type_of(self, node: Node, locals_: dict[str, str]) -> str:
        """Return the name of an expression's type without package and pointer; empty when not told."""
        if node.type == "identifier":
            name = _text(node)
            return locals_[name] if name in locals_ else self._variables.get(name, "")
        if node.type == "selector_expression":
            field, operand = node.child_by_field_name("field"), node.child_by_field_name("operand")
            if field is None or operand is None:
                return ""
            return self._structs.get(self._type_of(_bare(operand), locals_), {}).get(_text(field), "")
        return ""


def _storing_nodes(function: Node) -> Iterator[tuple[str, Node, Node]]:
    """Yield verb, what is stored into, and the statement."""
    for node in _below(function, {"assignment_statement", "send_statement", "call_expression"}):
        if node.type == "send_statement":
            channel = node.child_by_field_name("channel")
            if channel is not None:
                yield "send", channel, node
        elif node.type == "call_expression":
            called = node.child_by_field_name("function")
            if called is None or called.type != "selector_expression":
                continue
            method, operand = called.child_by_field_name("field"), called.child_by_field_name("operand")
            if method is not None and operand is not None and _text(method) in _LIST_METHODS:
                yield "list", operand, node
            elif method is not None and operand is not None and _text(method) in _SYNC_METHODS:
                yield "sync map", operand, node
        else:
            yield from _assignments(node)


def _assignments(node: Node) -> Iterator[tuple[str, Node, Node]]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None:
        return
    values = right.named_children
    for number, target in enumerate(left.named_children):
        bare = _bare(target)
        if bare.type == "index_expression":
            operand = bare.child_by_field_name("operand")
            if operand is not None:
                yield "index", operand, node
        else:
            value = values[number] if len(values) == len(left.named_children) else None
            yield ("append" if value is not None and _is_append(value) else "assign"), target, node


def _is_append(value: Node) -> bool:
    called = value.child_by_field_name("function") if value.type == "call_expression" else None
    return called is not None and _text(called) in ("append", "slices.Insert", "slices.Concat", "slices.Grow")


def _locals(function: Node) -> dict[str, str]:
    """Return the names that a function declares, with their types' names; empty for what is not told."""
    found: dict[str, str] = {}
    for node in _below(
        function, {"parameter_declaration", "var_spec", "short_var_declaration", "range_clause"}
    ):
        if node.type in ("parameter_declaration", "var_spec"):
            for name in node.children_by_field_name("name"):
                found[_text(name)] = _declared(node)
            continue
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        values = right.named_children if right is not None and node.type == "short_var_declaration" else []
        for number, name in enumerate(left.named_children if left is not None else ()):
            same = len(values) == len(left.named_children) if left is not None else False
            found[_text(name)] = _made(values[number]) if same else ""
    return found


def _declared(spec: Node) -> str:
    """Return the type's name of a declaration: as written, or as its value is made."""
    kind = spec.child_by_field_name("type")
    if kind is not None:
        return _type_name(kind)
    values = spec.child_by_field_name("value")
    return _made(values.named_children[0]) if values is not None and values.named_children else ""


def _made(value: Node) -> str:
    """Return the type's name of ``T{}``, ``&T{}`` and ``new(T)``; empty for other values."""
    if value.type == "unary_expression":
        operand = value.child_by_field_name("operand")
        return _made(operand) if operand is not None else ""
    if value.type == "composite_literal":
        kind = value.child_by_field_name("type")
        return _type_name(kind) if kind is not None else ""
    if value.type == "call_expression":
        called, arguments = value.child_by_field_name("function"), value.child_by_field_name("arguments")
        if (
            called is not None
            and arguments is not None
            and _text(called) == "new"
            and arguments.named_children
        ):
            return _type_name(arguments.named_children[0])
    return ""


def _fields(struct: Node) -> dict[str, str]:
    return {
        _text(name): _type_name(kind)
        for node in _below(struct, {"field_declaration"})
        if (kind := node.child_by_field_name("type")) is not None
        for name in node.children_by_field_name("name")
    }


def _type_name(kind: Node) -> str:
    """Return ``T`` for ``T``, ``*T``, ``pkg.T`` and ``T[int]``; empty for types without a name."""
    if kind.type in ("type_identifier", "identifier"):
        return _text(kind)
    if kind.type == "qualified_type":
        name = kind.child_by_field_name("name")
        return _text(name) if name is not None else ""
    if kind.type in ("pointer_type", "parenthesized_type", "unary_expression") and kind.named_children:
        return _type_name(kind.named_children[-1])
    if kind.type == "generic_type":
        name = kind.child_by_field_name("type")
        return _type_name(name) if name is not None else ""
    return ""


def _function_name(package: str, function: Node) -> str:
    name = function.child_by_field_name("name")
    plain = _text(name) if name is not None else "?"
    receiver = function.child_by_field_name("receiver")
    parameter = receiver.named_children[0] if receiver is not None and receiver.named_children else None
    kind = parameter.child_by_field_name("type") if parameter is not None else None
    if kind is None:
        return f"{package}.{plain}"
    of = _type_name(kind)
    return f"{package}.(*{of}).{plain}" if kind.type == "pointer_type" else f"{package}.{of}.{plain}"


def _bare(node: Node) -> Node:
    """Return an expression without parentheses, ``*`` and ``&`` around it."""
    while node.type in ("parenthesized_expression", "unary_expression") and node.named_children:
        node = node.named_children[-1]
    return node


def _below(root: Node, kinds: set[str], *, outside: tuple[str, ...] = ()) -> Iterator[Node]:
    """Yield the nodes of these kinds at and below `root`, in the order of the source, without recursion."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type in kinds:
            yield node
        if node.type not in outside:
            pending.extend(reversed(node.named_children))


def _text(node: Node) -> str:
    return node.text.decode("utf-8", "replace") if node.text is not None else ""
