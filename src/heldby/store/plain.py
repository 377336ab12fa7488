"""Records as JSON and back: the answer, types and texts, without pickle, which would run what a file says."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def to_plain(value: Any) -> Any:
    """Return `value` made of what JSON knows; records become objects."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def from_plain(kind: type[_T], plain: Any) -> _T:
    """Return the record of class `kind` that `to_plain` took apart.

    Raises:
        TypeError, KeyError: `plain` is no such record.
    """
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} is no {kind.__name__}")
    hints = _hints(cast("Any", kind))
    return kind(**{name: _value(hint, plain[name]) for name, hint in hints.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return {field.name: typing.get_type_hints(kind)[field.name] for field in fields(kind)}


def _value(hint: Any, plain: Any) -> Any:
    if plain is None:
        return None
    if is_dataclass(hint):
        return from_plain(cast("type[Any]", hint), plain)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        records = [part for part in parts if is_dataclass(part) or typing.get_origin(part) is tuple]
        return _value(records[0], plain) if len(records) == 1 and isinstance(plain, (dict, list)) else plain
    if origin is tuple:
        inner = parts[0] if len(parts) == 2 and parts[1] is Ellipsis else Any
        return tuple(_value(inner, item) for item in plain)
    return plain
