"""The statements that keep data in their source: the text of those that the code names, and those it cannot tell.

Where the program was built, only the lines are read that its code names. A folder that the user names is parsed:
a statement that both the code and the source name is certain; what only the source names is likely at best.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from heldby.analysis.answer import Answer, Holder, KeptIn, StoredBy
from heldby.source import SourceLines
from heldby.source.stores import SourceStore, stores_into

_MOST_STATEMENTS: Final = 3
_ASSIGNS: Final = r"(?<![=!<>:])=(?!=)"
# What a line that stores into a container looks like.
_STORES: Final[dict[str, re.Pattern[str]]] = {
    "map": re.compile(r"\]\s*(?:[-+*/|&^%]|<<|>>|&\^)?=|\]\s*(?:\+\+|--)|\bmaps\."),
    "slice": re.compile(rf"\bappend\(|\bslices\.|{_ASSIGNS}"),
    "channel": re.compile(r"<-"),
    "list": re.compile(r"\.(?:Push|Insert)\w+\("),
    "sync map": re.compile(r"\.(?:Store|LoadOrStore|Swap|CompareAndSwap)\("),
    # A value of a struct literal too: ``&node{next: head}``.
    "field": re.compile(rf"{_ASSIGNS}|\w:[^=]|\.(?:Store|Swap|CompareAndSwap)\("),
}
# The verbs of `SourceStore` that store into a container, the telling ones first.
_VERBS: Final[dict[str, tuple[str, ...]]] = {
    "map": ("index", "assign"),
    "slice": ("append", "index", "assign"),
    "channel": ("send",),
    "list": ("list",),
    "sync map": ("sync map",),
    "field": ("assign", "sync map", "append"),
}
# Up to the first quote only: in a text, two slashes are no comment.
_COMMENT: Final = re.compile(r"^([^\"'`]*?)\s*//.*$")


def with_source(answer: Answer, source: SourceLines) -> Answer:
    """Return `answer` with what the source adds: the texts of statements, and statements."""
    stores: Sequence[SourceStore] = ()
    if source.folder is not None:
        names = frozenset(place.field or "" for holder in answer.holders for place in holder.kept_in)
        stores = stores_into(source, names - {""})
    return replace(answer, holders=tuple(_of_holder(holder, source, stores) for holder in answer.holders))


def _of_holder(holder: Holder, source: SourceLines, stores: Sequence[SourceStore]) -> Holder:
    for place in holder.kept_in:
        by_code = tuple(each for each in holder.stored_by if each.place == place.path)
        by_source = _matching(place, stores)
        both = tuple(
            replace(
                each,
                statement=store.text,
                certainty="certain",
                evidence=f"code and source agree: {each.evidence}",
            )
            for each in by_code
            for store in by_source
            if each.file
            and store.first <= (each.line or 0) <= store.last
            and source.find(each.file) == store.file
        )
        if both:
            return replace(holder, stored_by=both)
        if by_code:
            return replace(
                holder,
                stored_by=tuple(replace(each, statement=_statement(each, place, source)) for each in by_code),
            )
        if 0 < len(by_source) <= _MOST_STATEMENTS:
            return replace(
                holder, stored_by=tuple(_told(place, store, len(by_source)) for store in by_source)
            )
    return holder


def _matching(place: KeptIn, stores: Sequence[SourceStore]) -> list[SourceStore]:
    """Return the statements that store into `place`, with the most telling verb and the surest owner only."""
    wanted = (place.owner or "").partition("[")[0].rpartition(".")[2]
    package = (place.package or "").rpartition("/")[2]
    fitting = [
        store
        for store in stores
        if store.name == place.field
        and store.verb in _VERBS[place.container]
        and store.owner in (None, wanted)
        and (bool(wanted) or not package or store.package == package)
    ]
    sure = [store for store in fitting if store.owner is not None]
    fitting = sure or fitting
    verb = next(
        (verb for verb in _VERBS[place.container] if any(store.verb == verb for store in fitting)), None
    )
    return [store for store in fitting if store.verb == verb]


def _told(place: KeptIn, store: SourceStore, count: int) -> StoredBy:
    sure = store.owner is not None and count == 1
    only = "the only statement" if count == 1 else f"one of {count} statements"
    of = f" of {place.owner}" if place.owner and store.owner else ""
    return StoredBy(
        place=place.path,
        func=store.function,
        file=str(store.file),
        line=store.first,
        statement=store.text,
        certainty="likely" if sure else "possible",
        evidence=f"{only} in the source that stores into {store.name}{of}",
    )


def _statement(stored: StoredBy, place: KeptIn, source: SourceLines) -> str | None:
    """Return the text of the line, if it stores into something of that name: the file may be another version."""
    text = source.line(stored.file, stored.line) if stored.file and stored.line else None
    text = _COMMENT.sub(r"\1", text) if text is not None else None
    if text is None or not _STORES[place.container].search(text):
        return None
    return text if not place.field or re.search(rf"\b{re.escape(place.field)}\b", text) else None
