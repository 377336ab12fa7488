"""Questions put to a `Heap`: who holds what, where the memory went. Knows nothing of output."""

from __future__ import annotations

from heldby.analysis.answering import answer_of

__all__ = ["answer_of"]
