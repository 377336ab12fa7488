"""The fields of a struct as encoding/json writes them: tags, promotion of embedded structs, conflicts.

After encoding/json/encode.go, typeFields (the same rules in Go 1.21 to 1.27, but for "omitzero", which 1.24 brought).
Fields that encoding/json leaves out (unexported ones, those with the tag "-", those that hide each other) follow
with `hidden` set, so that each piece of a struct's data is in the list once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import TypeTable

_TAG: Final = re.compile(r' *([^\x00-\x20:"\x7f]+):"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
# encoding/json/v2/fields.go, parseFieldOptions: a name ends at a quote or backslash, and is then a word.
_RESERVED: Final = re.compile(r"[\\'\"`]")
_WORD: Final = re.compile(r"\w*")
_PUNCTUATION: Final = frozenset("!#$%&()*+-./:;<=>?@[]^_{|}~ ")
#: The state of a lock is no data: an embedded one adds no fields.
LOCKS: Final = frozenset(
    ("sync.Mutex", "sync.RWMutex", "sync.WaitGroup", "sync.Once", "sync.Cond", "sync.noCopy", "atomic.noCopy")
)
_MAX_LEVELS: Final = 16
_MAX_FIELDS: Final = 1 << 14
# Kinds whose text the option ",string" puts in quotes: bool, integers, floats, string.
_QUOTABLE: Final = frozenset((*range(1, 15), scan.STRING))


@dataclass(frozen=True, slots=True, kw_only=True)
class JSONField:
    """A field of a struct, embedded structs resolved.

    Attributes:
        name: its key in JSON.
        type: type number.
        hops: offsets of the embedded pointers that lead to it, outermost first.
        offset: in the struct that the last hop leads to.
        hidden: encoding/json leaves it out.
    """

    name: str
    type: int
    hops: tuple[int, ...]
    offset: int
    omit_empty: bool = False
    omit_zero: bool = False
    quoted: bool = False
    hidden: bool = False

    @property
    def key_bytes(self) -> int:
        """The bytes of the key with its quotes and colon; <, >, & and line separators take six."""
        extra = sum(5 if letter in "<>&" else 3 for letter in self.name if letter in "<>&\u2028\u2029")
        return len(self.name.encode("utf-8", "surrogateescape")) + extra + 3


@dataclass(frozen=True, slots=True)
class _Found:
    field: JSONField
    index: tuple[int, ...]
    tagged: bool


@dataclass(frozen=True, slots=True)
class _Level:
    type: int
    index: tuple[int, ...]
    hops: tuple[int, ...]
    offset: int
    inside: frozenset[int]


def json_fields(types: TypeTable, number: int, *, second: bool = False) -> list[JSONField]:
    """Return the fields of struct type `number`: those that are written, in order, then the hidden ones.

    With `second`, by the second version of encoding/json, which takes malformed names in tags another way.
    """
    found: list[_Found] = []
    hidden: list[_Found] = []
    following = [_Level(number, (), (), 0, frozenset((number,)))]
    seen: set[int] = set()
    counts: dict[int, int] = {}
    for _ in range(_MAX_LEVELS):
        current, following = following, []
        before, counts = counts, {}
        for level in current:
            if len(found) + len(hidden) > _MAX_FIELDS:
                continue
            embedded, written, left_out = _explore(types, level, second=second)
            hidden += left_out
            following += [inner for inner in embedded if inner.type not in level.inside]
            if level.type in seen:
                hidden += written  # encoding/json looks into a type once
                continue
            seen.add(level.type)
            # Two of the same at one level hide each other; encoding/json, too, adds no third.
            found += written * (2 if before.get(level.type, 0) > 1 else 1)
            for inner in embedded:
                counts[inner.type] = counts.get(inner.type, 0) + 1
        if not following:
            break
    return _resolved(found, hidden)


def _explore(
    types: TypeTable, level: _Level, *, second: bool
) -> tuple[list[_Level], list[_Found], list[_Found]]:
    """Return the embedded structs, the fields that are written and those that are not, of one struct."""
    embedded: list[_Level] = []
    written: list[_Found] = []
    left_out: list[_Found] = []
    for position, field in enumerate(types[level.type].fields):
        if field.name == "_":
            continue
        index = (*level.index, position)
        target = _pointed_to(types, field.type)
        tag = _json_tag(field.tag)
        name, _, options = tag.partition(",")
        name = _valid_start(name) if second else name if _is_valid(name) else ""
        exported = field.name[:1].isupper()
        is_struct = int(types.kind[target]) == scan.STRUCT
        dropped = tag == "-" or (not exported and not (field.embedded and is_struct))
        offset = level.offset + field.offset
        if field.embedded and is_struct and not name and not dropped:
            if types.name(target) in LOCKS:
                continue
            hops, at = (level.hops, offset) if target == field.type else ((*level.hops, offset), 0)
            embedded.append(_Level(target, index, hops, at, level.inside | {target}))
            continue
        chosen = set(options.split(","))
        made = JSONField(
            name=name or field.name,
            type=field.type,
            hops=level.hops,
            offset=offset,
            omit_empty="omitempty" in chosen,
            omit_zero="omitzero" in chosen,
            quoted="string" in chosen and int(types.kind[target]) in _QUOTABLE,
            hidden=dropped,
        )
        (left_out if dropped else written).append(_Found(made, index, bool(name)))
    return embedded, written, left_out


def _resolved(found: list[_Found], hidden: list[_Found]) -> list[JSONField]:
    """Return what is left when the fields of one name were settled (dominantField)."""
    by_name: dict[str, list[_Found]] = {}
    for each in found:
        by_name.setdefault(each.field.name, []).append(each)
    kept: list[_Found] = []
    lost = list(hidden)
    for same in by_name.values():
        same.sort(key=lambda each: (len(each.index), not each.tagged, each.index))
        winner = same[0]
        tie = len(same) > 1 and (len(same[1].index), same[1].tagged) == (len(winner.index), winner.tagged)
        losers = same if tie else same[1:]
        if not tie:
            kept.append(winner)
        lost += {each.index: each for each in losers}.values()
    kept.sort(key=lambda each: each.index)
    lost.sort(key=lambda each: each.index)
    return [each.field for each in kept] + [replace(each.field, hidden=True) for each in lost]


def _pointed_to(types: TypeTable, number: int) -> int:
    """Return the type behind an unnamed pointer; the type itself for everything else."""
    if int(types.kind[number]) == scan.POINTER and types.name(number).startswith("*"):
        return int(types.elem[number])
    return number


def _json_tag(tag: str) -> str:
    """Return what a struct tag says under ``json`` (reflect.StructTag.Get)."""
    at = 0
    while found := _TAG.match(tag, at):
        if found[1] == "json":
            return _ESCAPE.sub(r"\1", found[2])
        at = found.end()
    return ""


def _is_valid(name: str) -> bool:
    """Tell whether a tag's name may be a key (isValidTag)."""
    return bool(name) and all(c in _PUNCTUATION or c.isalpha() or c.isdecimal() for c in name)


def _valid_start(name: str) -> str:
    """Return what of a tag's name the second version takes."""
    word = _WORD.match(name)
    return word[0] if word is not None and _RESERVED.search(name) else name
