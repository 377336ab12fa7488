"""`answer_of`: the three answers for one heap, as plain values."""

from __future__ import annotations

from heldby.analysis.answer import Answer
from heldby.heap.heap import Heap
from heldby.progress import QUIET, Progress


def answer_of(heap: Heap, *, progress: Progress = QUIET) -> Answer:
    """Return where the memory went and who holds it, made once for each heap. O(vertices + references)."""

    def make() -> Answer:
        # Half of all modules; who reads a kept answer needs none of them.
        from heldby.analysis.making import make_answer

        return make_answer(heap, progress)

    return heap.result(Answer, make)
