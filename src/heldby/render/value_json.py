"""A Go value as JSON: typed, exact, with nothing left unsaid."""

from __future__ import annotations

import base64
import math
from typing import Any

from heldby.golang.values import Form, Value


def value_document(value: Value) -> dict[str, Any]:
    """Return a value as plain data.

    ``kind`` says which of ``value``, ``fields``, ``elements``, ``entries`` there is; ``value`` of numbers that are
    none or infinite is a text, of bytes (``base64``: true) and strings that are no UTF-8 base64; ``null`` is what
    was not captured. ``target`` is null where the value leads nowhere, "0x0" for nil.
    """
    found: dict[str, Any] = {"kind": str(value.form), "type": value.type, "address": f"{value.address:#x}"}
    if value.target is not None:
        found["target"] = f"{value.target:#x}"
        found["nil"] = value.is_nil
    if value.length is not None:
        found["length"] = value.length
    if value.capacity is not None:
        found["capacity"] = value.capacity
    found |= _data(value)
    if value.text is not None:
        found["text"] = value.text
    if value.parts or value.form is Form.STRUCT:
        found["fields"] = [{"name": name, **value_document(part)} for name, part in value.parts]
    if value.form is Form.MAP:
        found["entries"] = [
            {"key": value_document(key), "element": value_document(element)} for key, element in value.entries
        ]
    elif value.elements or value.form in (Form.ARRAY, Form.SLICE, Form.CHANNEL):
        found["elements"] = [value_document(element) for element in value.elements]
    if value.cut:
        found["left_out"] = value.cut
    if value.note:
        found["note"] = value.note
    return found


def _data(value: Value) -> dict[str, Any]:
    data = value.data
    if value.form in (Form.STRING, Form.BYTES, Form.MEMORY, Form.MISSING) and not isinstance(data, bytes):
        return {"value": None}
    if isinstance(data, bytes):
        if value.form is Form.STRING:
            try:
                return {"value": data.decode()}
            except UnicodeDecodeError:
                pass
        return {"value": base64.b64encode(data).decode(), "base64": True}
    if isinstance(data, complex):
        return {"value": [_real(data.real), _real(data.imag)]}
    if isinstance(data, float):
        return {"value": _real(data)}
    return {} if data is None else {"value": data}


def _real(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)
