r"""An `Answer` as the JSON of schema 1: stable order, exact numbers, null for what is absent.

Everything but ASCII is escaped, so that the output is safe in a terminal too, and a byte that is no UTF-8
appears as the text ``\xNN``, since JSON has no way to say it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from heldby.analysis.answer import SCHEMA, Answer
from heldby.render.plain_text import well_formed


def to_json(answer: Answer, *, limit: int | None = None, parts: Collection[str] = ()) -> str:
    """Return `answer` as one JSON object with a line break at its end; O(rows).

    With `parts`, only these fields are written. With `limit`, only that many holders, and the `held` rows that
    speak of them, are written.
    """
    if limit is not None:
        answer = replace(
            answer,
            holders=answer.holders[:limit],
            held=tuple(row for row in answer.held if row.holder < limit),
        )
    document = {"schema": SCHEMA, **_plain(answer)}
    if parts:
        document = {name: value for name, value in document.items() if name in ("schema", *parts)}
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Return `value` made of dict, list, str, int, float, bool and None only."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return well_formed(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a NumPy scalar
        return _plain(value.item())
    raise TypeError(f"{type(value).__name__} has no place in the JSON of schema {SCHEMA}")
