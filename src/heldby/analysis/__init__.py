"""Questions put to a `Heap`: who holds what, where the memory went. Knows nothing of output."""

from __future__ import annotations

from heldby.analysis.answering import answer_of
from heldby.analysis.exporting import heap_profile_of, holder_profile_of, joined_profile_of

__all__ = ["answer_of", "heap_profile_of", "holder_profile_of", "joined_profile_of"]
