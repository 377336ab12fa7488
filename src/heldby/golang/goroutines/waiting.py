"""What parked goroutines wait on: channels, and the semaphores of mutexes, wait groups and conditions.

Which waits count, and when one is hopeless, is what Go 1.27 says itself (runtime/mgc.go, ``isMaybeRunnable``;
runtime/mgcmark.go, ``internalBlocked``): its goroutineleak profile asks the same question inside the process.
From 1.26 on every goroutine has its waiting records on a list; before, those of semaphores and conditions are
found on its stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.goroutines.goroutines import Goroutines
from heldby.golang.goroutines.waiting_kernels import walk_waiting
from heldby.golang.layouts.layout import Layout
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows

HOPELESS: Final = ("select (no cases)", "chan receive (nil chan)", "chan send (nil chan)")
ON_CHANNELS: Final = ("chan receive", "chan send", "select")
ON_SEMAPHORES: Final = (
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
)
_CONDITION: Final = "sync.Cond.Wait"
# A list cannot be longer than there are records; a damaged one may pretend to be.
_MOST_RECORDS: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What goroutines wait on.

    Attributes:
        blocked: ``bool[g]``, goroutines that only another one can wake, by a channel or a semaphore, and whose
            waits are known.
        goroutine: ``uint32[w]``, rows: a pair for each thing that a blocked goroutine waits on.
        addr: ``uint64[w]``, where that thing lies: a channel, a semaphore, or the waiting record itself that a
            condition variable leads to.
        record: ``uint64[r]``, waiting records of blocked goroutines, of all kinds.
        field: ``int64[r]``, offset of the pointer in a record that must not count as a way to what is waited
            on; -1 for none.
        unknown: goroutines that wait on something that cannot be told.
    """

    blocked: NDArray[np.bool_]
    goroutine: NDArray[np.uint32]
    addr: NDArray[np.uint64]
    record: NDArray[np.uint64]
    field: NDArray[np.int64]
    unknown: int


def read_waits(
    runtime: Runtime,
    objects: ObjectTable,
    goroutines: Goroutines,
    stack_goroutine: NDArray[np.uint32],
    stack_target: NDArray[np.uint32],
) -> Waits:
    """Return what each goroutine waits on. O(goroutines + their records).

    Args:
        runtime: of the process.
        objects: all objects.
        goroutines: all goroutines.
        stack_goroutine: ``uint32[s]``, row of the goroutine that a stack's pointer belongs to.
        stack_target: ``uint32[s]``, the object that it points to.
    """
    layout = runtime.layout
    waiting = goroutines.present & np.isin(goroutines.status, _waiting_states(layout))
    hopeless = waiting & _has_reason(layout, goroutines, HOPELESS)
    on_channels = waiting & _has_reason(layout, goroutines, ON_CHANNELS)
    on_semaphores = waiting & _has_reason(layout, goroutines, _semaphore_reasons(layout))

    rows = np.flatnonzero(on_channels)
    owner, record, broken = _lists(runtime, goroutines.waiting[rows])
    unknown = np.zeros(waiting.size, np.bool_)
    unknown[rows[broken]] = True
    channel_goroutine = rows[owner].astype(np.uint32)
    sudogs = StructRows(runtime.pages, layout, "runtime.sudog", record)
    unknown[channel_goroutine[~sudogs.present]] = True
    channel = sudogs.raw(_value_offset(layout, "c"), 8)

    rows = np.flatnonzero(on_semaphores & (goroutines.waiting != 0))
    listed, listed_record = rows.astype(np.uint32), goroutines.waiting[rows]
    rest = on_semaphores & (goroutines.waiting == 0)
    found, found_record = _records_on_stacks(
        runtime, objects, goroutines, rest, stack_goroutine, stack_target
    )
    semaphore_goroutine = np.concatenate((listed, found))
    semaphore_record = np.concatenate((listed_record, found_record))
    sudogs = StructRows(runtime.pages, layout, "runtime.sudog", semaphore_record)
    semaphore = sudogs.raw(_value_offset(layout, "elem"), 8)
    # Before 1.26 a condition variable leads to the record, and the record to nothing.
    is_condition = _has_reason(layout, goroutines, (_CONDITION,))[semaphore_goroutine]
    by_record = is_condition & (semaphore == 0)
    semaphore[by_record] = semaphore_record[by_record]
    known = sudogs.present & (semaphore != 0)
    semaphore_goroutine, semaphore_record = semaphore_goroutine[known], semaphore_record[known]
    semaphore, by_record = semaphore[known], by_record[known]
    has_semaphore = np.zeros(waiting.size, np.bool_)
    has_semaphore[semaphore_goroutine] = True
    unknown |= on_semaphores & ~has_semaphore

    goroutine = np.concatenate((channel_goroutine, semaphore_goroutine))
    addr = np.concatenate((channel, semaphore))
    sound = ~unknown[goroutine]
    fields = np.concatenate(
        (
            np.full(channel.size, layout.offset("runtime.sudog", "c"), np.int64),
            np.where(by_record, np.int64(-1), np.int64(layout.offset("runtime.sudog", "elem"))),
        )
    )
    return Waits(
        blocked=(hopeless | on_channels | on_semaphores) & ~unknown,
        goroutine=goroutine[sound],
        addr=addr[sound],
        record=np.concatenate((record, semaphore_record)),
        field=fields,
        unknown=int(unknown.sum()),
    )


def _semaphore_reasons(layout: Layout) -> tuple[str, ...]:
    """Return the reasons of those that wait on a semaphore; before 1.24 wait groups have none of their own."""
    named = "sync.WaitGroup.Wait" in layout.wait_reasons
    return ON_SEMAPHORES if named else (*ON_SEMAPHORES, "semacquire")


def _waiting_states(layout: Layout) -> NDArray[np.uint64]:
    """Return the states of parked goroutines; a leak profile leaves _Gleaked behind in those that it found."""
    names = [name for name in ("runtime._Gwaiting", "runtime._Gleaked") if layout.has_const(name)]
    return np.array([layout.const(name) for name in names], np.uint64)


def _has_reason(layout: Layout, goroutines: Goroutines, reasons: tuple[str, ...]) -> NDArray[np.bool_]:
    numbers = [number for number, text in enumerate(layout.wait_reasons) if text in reasons]
    found: NDArray[np.bool_] = np.isin(goroutines.wait_reason, np.array(numbers, np.uint64))
    return found


def _value_offset(layout: Layout, field: str) -> int:
    """Return where a sudog says what it is about; from 1.26 on beside a pointer that the collector may hide."""
    at = layout.offset("runtime.sudog", field)
    hidden = layout.has("runtime.maybeTraceablePtr")
    return at + layout.offset("runtime.maybeTraceablePtr", "vu") if hidden else at


def _lists(
    runtime: Runtime, heads: NDArray[np.uint64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.bool_]]:
    """Return head, address of each record of the lists, and which lists are broken."""
    link = runtime.layout.offset("runtime.sudog", "waitlink")
    room = 2 * heads.size + 1024
    while True:
        owner, record = np.empty(room, np.uint32), np.empty(room, np.uint64)
        broken = np.zeros(heads.size, np.uint8)
        used = int(walk_waiting(runtime.pages, np.ascontiguousarray(heads), link, owner, record, broken))
        if not broken.any() or room >= min(_MOST_RECORDS, 64 * heads.size + (1 << 17)):
            return owner[:used], record[:used], broken.astype(np.bool_)
        room *= 4


def _records_on_stacks(
    runtime: Runtime,
    objects: ObjectTable,
    goroutines: Goroutines,
    wanted: NDArray[np.bool_],
    stack_goroutine: NDArray[np.uint32],
    stack_target: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Return the waiting records that the stacks of `wanted` goroutines point to, with those goroutines.

    runtime/sema.go keeps the record in a variable of semacquire1 or notifyListWait while it waits; a record
    names its goroutine in its first word.
    """
    at = np.flatnonzero(wanted[stack_goroutine])
    slots = objects.spans.elemsize[objects.span_of(stack_target[at])].astype(np.int64)
    size = runtime.layout.size("runtime.sudog")
    at = at[(slots >= size) & (slots <= size + 16)]  # a size class above, as runtime/sizeclasses.go has them
    rows, addrs = stack_goroutine[at], objects.address_of(stack_target[at])
    sudogs = StructRows(runtime.pages, runtime.layout, "runtime.sudog", np.ascontiguousarray(addrs))
    own = sudogs.present & (sudogs.column("g") == goroutines.addr[rows])
    pairs = np.unique(np.stack((rows[own].astype(np.uint64), addrs[own])), axis=1)
    return pairs[0].astype(np.uint32), np.ascontiguousarray(pairs[1])
