"""The text of the statements that keep data, from their source: where it was built, or in a folder given."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from heldby.analysis.answer import Answer, Holder, KeptIn, StoredBy
from heldby.source import SourceLines

# What a line that stores into a container looks like.
_STORES: Final[dict[str, re.Pattern[str]]] = {
    "map": re.compile(r"\]\s*(?:[-+*/|&^%]|<<|>>|&\^)?=|\]\s*(?:\+\+|--)|\bmaps\."),
    "slice": re.compile(r"\bappend\(|\bslices\."),
    "channel": re.compile(r"<-"),
    "list": re.compile(r"\.(?:Push|Insert)\w+\("),
    "sync map": re.compile(r"\.(?:Store|LoadOrStore|Swap|CompareAndSwap)\("),
}
# Up to the first quote only: in a text, two slashes are no comment.
_COMMENT: Final = re.compile(r"^([^\"'`]*?)\s*//.*$")


def with_source(answer: Answer, source: SourceLines) -> Answer:
    """Return `answer` with the texts of the statements whose source is found and agrees."""
    return replace(answer, holders=tuple(_with_texts(holder, source) for holder in answer.holders))


def _with_texts(holder: Holder, source: SourceLines) -> Holder:
    places = {place.path: place for place in holder.kept_in}
    return replace(
        holder,
        stored_by=tuple(
            replace(each, statement=_statement(each, places.get(each.place), source))
            for each in holder.stored_by
        ),
    )


def _statement(stored: StoredBy, place: KeptIn | None, source: SourceLines) -> str | None:
    """Return the text of the line, if it stores into something of that name: the file may be another version."""
    text = source.line(stored.file, stored.line) if stored.file and stored.line else None
    text = _COMMENT.sub(r"\1", text) if text is not None else None
    if text is None or place is None or not _STORES[place.container].search(text):
        return None
    return text if not place.field or re.search(rf"\b{re.escape(place.field)}\b", text) else None
