"""How long work tells what it does: named phases with a total, a rate and the time left.

The core calls `Progress`; only front ends know how it is drawn. A kernel that cannot report from inside
is one phase without a total.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Phase(Protocol):
    """One named stretch of work."""

    def advance(self, amount: int = 1) -> None:
        """Add `amount` units of finished work."""


class Progress(Protocol):
    """Receives the phases of an analysis in order; phases do not nest."""

    def phase(self, name: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        """Open a phase; `total` is None when the amount of work is unknown, `unit` is e.g. ``bytes``."""


class _QuietPhase:
    def advance(self, amount: int = 1) -> None:
        """Say nothing."""


class _Quiet:
    def phase(self, name: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:  # noqa: ARG002
        """Say nothing."""
        return nullcontext(_QuietPhase())


QUIET: Progress = _Quiet()
"""A `Progress` that says nothing."""
