"""How people read the values of each kind of column: with its unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heldby.analysis.table import Kind
from heldby.units import format_bytes, format_count, format_seconds

SHOWN: Final[dict[Kind, Callable[[Any], str]]] = {
    Kind.BYTES: format_bytes,
    Kind.COUNT: format_count,
    Kind.SHARE: "{:.1%}".format,
    Kind.SECONDS: format_seconds,
    Kind.ADDRESS: hex,
    Kind.NUMBER: str,
    Kind.UNSIGNED: str,
    Kind.REAL: "{:,.6g}".format,
    Kind.FLAG: lambda value: "yes" if value else "no",
}
"""Texts are left out: they are what they are."""
