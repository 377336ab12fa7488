"""A Go value in one line of text, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from heldby.golang.values import Form, Value
from heldby.golang.values.number_forms import complex_text, float_text
from heldby.golang.values.value import SEEN, TOO_DEEP
from heldby.render.plain_text import printable, shorten
from heldby.units import format_bytes

_NOTES: Final = {TOO_DEEP: "…", SEEN: "(seen above)"}
_LEADING: Final = (Form.POINTER, Form.INTERFACE)
_LONGEST: Final = 2000
_NARROWEST: Final = 24
# What an untyped constant in Go would be: these need not say their type inside an interface.
_PLAIN: Final = ("bool", "int", "string")
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def said(value: Value, width: int) -> str:
    """Return a value in one line, without the parts that it has lines of their own for."""
    of = value
    while of.form in _LEADING and of.elements and of.text is None:
        if of.elements[0].form is Form.STRUCT and of.elements[0].text is None:
            break
        of = of.elements[0]
    return shorten(_one_line(of, width), width)


def with_parts(value: Value, width: int) -> str:
    """Return a value in one line with all that it consists of, as Go prints it: ``{1 [2 3] "x"}``."""
    return shorten(_nested(value), width)


def key_texts(keys: Sequence[Value], width: int) -> list[str]:
    """Return the keys of a map, each with all that it consists of. No two are alike.

    Those that are, as they are too long to be shown or read in full, have the address where they lie behind them.
    """
    width = max(width, _NARROWEST)
    full = [_key(key) for key in keys]
    texts = [shorten(text, width) for text in full]
    seen: dict[str, int] = {}
    for text in texts:
        seen[text] = seen.get(text, 0) + 1
    for at, key in enumerate(keys):
        if seen[texts[at]] > 1:
            place = f" at {key.address:#x}"
            texts[at] = shorten(full[at], width - len(place)) + place
    return texts


def _key(key: Value) -> str:
    """Return a key; a pointer with what it leads to, which alone would not tell it from another."""
    if key.form is Form.POINTER and key.elements:
        return f"{_nested(key)} {_nested(key.elements[0])}"
    return _nested(key)


def _nested(value: Value) -> str:
    """Return a value with its parts; of long ones the beginning."""
    if value.text is not None and value.form is not Form.INTERFACE:
        return _one_line(value, _LONGEST)
    if value.form is Form.STRUCT:
        return "{" + _row([part for _, part in value.parts], value) + "}"
    if value.form is Form.ARRAY:
        return "[" + _row(value.elements, value) + "]"
    if value.form in (Form.POINTER, Form.CHANNEL) and value.target:
        return f"{value.target:#x}"
    if value.form is Form.INTERFACE and value.elements and value.text is None:
        return _held(value.elements[0])
    return _one_line(value, _LONGEST)


def _row(parts: Sequence[Value], of: Value) -> str:
    texts: list[str] = []
    room = _LONGEST
    for part in parts:
        texts.append(_nested(part))
        room -= len(texts[-1]) + 1
        if room < 0:
            break
    return " ".join([*texts, *(["…"] if of.cut or len(texts) < len(parts) else [])])


def _held(value: Value) -> str:
    """Return what an interface holds, as a conversion in Go: the same number of two types is two keys."""
    text = _nested(value)
    if value.type in _PLAIN:
        return text
    kind = f"({value.type})" if value.type.startswith("*") else value.type
    return kind + text if text.startswith("{") else f"{kind}({text})"


def _one_line(value: Value, width: int) -> str:
    if value.form is Form.MISSING:
        return f"<{value.note}>"
    if value.is_nil:
        return "nil"
    if value.form in (Form.STRING, Form.BYTES, Form.MEMORY):
        return _bytes(value, width)
    if value.form in (Form.BOOL, Form.INT, Form.FLOAT, Form.COMPLEX):
        return _number(value)
    note = _NOTES.get(value.note, f"({value.note})" if value.note else "")
    return " ".join(part for part in (_shape(value), _meaning(value), note) if part)


def _meaning(value: Value) -> str:
    if value.text is None:
        return ""
    return f'"{escaped(value.text)}"' if value.form is Form.INTERFACE else value.text


def _shape(value: Value) -> str:
    if value.form is Form.POINTER or (value.form is Form.INTERFACE and value.text is None):
        return f"{value.target:#x}"
    if value.length is None or value.form is Form.ARRAY:
        return ""
    size = f"len {value.length:,}"
    return f"{size} cap {value.capacity:,}" if value.capacity not in (None, value.length) else size


def _number(value: Value) -> str:
    if value.form is Form.BOOL:
        return "true" if value.data else "false"
    if value.form in (Form.FLOAT, Form.COMPLEX):
        return real_text(value) or ""
    return f"{value.data!r} ({value.text})" if value.text else repr(value.data)


def real_text(value: Value) -> str | None:
    """Return a floating-point or complex number as Go prints it; None for another value."""
    if isinstance(value.data, complex):
        return value.text or complex_text(value.data)
    return value.text or float_text(value.data) if isinstance(value.data, float) else None


def escaped(text: str) -> str:
    """Return `text` as it stands between the quotes of a Go string."""
    return printable(text.translate(_ESCAPES))


def _bytes(value: Value, width: int) -> str:
    if not isinstance(value.data, bytes):
        return f"<{value.note}>"
    if value.text is not None:
        return value.text
    try:
        text = value.data.decode()
        readable = value.form is not Form.MEMORY and (
            value.form is Form.STRING or sum(map(str.isprintable, text)) * 10 >= len(text) * 9
        )
    except UnicodeDecodeError:
        text = value.data.decode("utf-8", "surrogateescape")
        readable = value.form is Form.STRING
    more = f"... {format_bytes(value.length)}" if value.cut and value.length is not None else ""
    if readable:
        quoted = escaped(text)
        room = max(width - 2 - len(more), 8)
        if len(quoted) > room and not more and value.length is not None:
            more = f"... {format_bytes(value.length)}"
            room = max(room - len(more), 8)
        return f'"{quoted[:room]}"{more}'
    if not more and len(value.data) * 2 > width:
        more = f"... {format_bytes(len(value.data))}"
    return value.data.hex()[: max((width - len(more)) // 2 * 2, 2)] + more
