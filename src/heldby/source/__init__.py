"""Go source code beside the program: its lines, and what its statements store. Knows no program and no heap."""

from __future__ import annotations

from heldby.source.lines import SourceLines

__all__ = ["SourceLines"]
