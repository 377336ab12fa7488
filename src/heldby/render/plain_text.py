"""Texts from the target made safe to print, and cut to a width.

Names, paths and strings of a heap are written by whoever fed the process. A terminal obeys control
characters, ANSI escapes, and direction marks that swap what the eye reads; none of them may pass.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LONGEST: Final = 20_000
"""Characters that are looked at, at most; a generic type's name can be megabytes."""
_FOLDERS: Final = re.compile(r"(?<![^\s(])(?:[\w.~%-]+/)+(?=[\w.~%-]+\.)")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ASCII: Final = str.maketrans({"█": "#", "▌": "-", "…": "~", "·": "|", "→": ">", "×": "x"})


def printable(text: str) -> str:
    r"""Return `text` on one line with all that does not print written as an escape (``\x1b``, ``\u202e``).

    What passes is what `str.isprintable` accepts: no controls, format characters (bidi, zero width),
    surrogates, private or unassigned characters, and no white space but the blank.
    """
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + "…" + text[-_LONGEST // 2 :]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, kept by "surrogateescape"
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def well_formed(text: str) -> str:
    r"""Return `text` with each byte that was no UTF-8 written as ``\xNN``, so that it can be encoded."""
    return _SURROGATE.sub(lambda match: _escape(ord(match.group())), text)


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` terminal cells, cut in the middle: both ends carry the meaning."""
    text = printable(text)
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return "…"[: max(width, 0)]
    tail_width = (width - 1) // 2
    head = _take(text, width - 1 - tail_width)
    tail = _take(text[::-1], tail_width)[::-1]
    return f"{head}…{tail}"


def without_folders(text: str) -> str:
    """Return `text` with ``github.com/nats-io/nats-server/v2/server.f`` written as ``server.f``, as pprof does."""
    return _FOLDERS.sub("", text)


def shared_room(widths: list[int], room: int) -> list[int]:
    """Return how wide each may be: short ones leave what they do not need to the long ones."""
    out = list(widths)
    remaining = room
    for number, index in enumerate(sorted(range(len(widths)), key=widths.__getitem__)):
        out[index] = min(widths[index], max(remaining // (len(widths) - number), 1))
        remaining -= out[index]
    return out


def print_text(console: Console, text: Text) -> None:
    """Print `text` as it is; in ASCII where the output's encoding has nothing else."""
    if not console.encoding.lower().startswith("utf"):
        text.plain = text.plain.translate(_ASCII).encode("ascii", "backslashreplace").decode()
    console.print(text, soft_wrap=True, highlight=False)


def _take(text: str, width: int) -> str:
    """Return the longest start of `text` that fits `width` cells."""
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:index]
    return text
