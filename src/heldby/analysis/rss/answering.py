"""`rss_answer`: where the memory of a core's process went, with as much of its heap as can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from heldby.analysis.answer import Answer, HeapTotals
from heldby.analysis.process_facts import capture_facts, process_facts
from heldby.analysis.rss.account import rss_account
from heldby.errors import Cancelled, CaptureError, HeldbyError
from heldby.heap.heap import Heap
from heldby.heap.process import Process
from heldby.memory.core_file import CoreFile
from heldby.progress import QUIET, Progress

_T = TypeVar("_T")


def rss_answer(
    core: CoreFile,
    read_heap: Callable[[], Heap],
    read_process: Callable[[], Process],
    *,
    progress: Progress = QUIET,
) -> Answer:
    """Return the account, the process and the caveats; holders are not looked for. No dominator tree is made.

    A heap that cannot be read is a caveat, and so is a runtime that cannot be: the rows are coarser then.

    Args:
        core: the core or capture.
        read_heap: reads its heap.
        read_process: finds its program and runtime; asked only when the heap cannot be read.
        progress: is told of each phase.
    """
    caveats: list[str] = []
    heap = _unless_unreadable(read_heap, "the heap's objects", caveats)
    process = heap.process if heap is not None else None
    if process is None:
        process = _unless_unreadable(read_process, "the Go runtime", caveats)
    with progress.phase("resident memory"):
        account = rss_account(core, process, heap)
    goroutines = heap.goroutine_count if heap is not None else None
    known = core.caveats if process is None else process.caveats
    lost = () if heap is None else tuple(loss for loss in heap.losses if loss not in known)
    return Answer(
        capture=capture_facts(core),
        process=process_facts(core, process, goroutines),
        heap=HeapTotals(),
        rss=account,
        caveats=(*known, *lost, *caveats),
    )


def _unless_unreadable(read: Callable[[], _T], what: str, caveats: list[str]) -> _T | None:
    try:
        return read()
    except (Cancelled, CaptureError):
        raise
    except HeldbyError as error:
        caveats.append(f"{what} could not be read: {error.message}")
        return None
