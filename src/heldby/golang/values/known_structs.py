"""What well-known values mean, in words: times, durations, addresses, locks, counters."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from heldby.golang.values.memory import GoMemory
from heldby.golang.values.network_addresses import NETIP_STRUCTS, ip_text

# time/time.go: seconds are counted from January 1 of year 1, or from 1885 beside a monotonic reading.
_WALL_TO_INTERNAL: Final = (1884 * 365 + 1884 // 4 - 1884 // 100 + 1884 // 400) * 86400
_LAST_SECOND: Final = 3652059 * 86400  # of year 9999
_MOST_READERS: Final = 1 << 30  # sync/rwmutex.go, rwmutexMaxReaders
_MOST_WORDS: Final = 1 << 12
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def number_text(name: str, value: int) -> str | None:
    """Return what an integer of the type `name` means; None when it is just a number."""
    if name == "time.Duration":
        return duration_text(value)
    if name == "time.Month" and 1 <= value <= 12:
        return _MONTHS[value - 1]
    if name == "time.Weekday" and 0 <= value <= 6:
        return _DAYS[value]
    return None


def bytes_text(name: str, data: bytes) -> str | None:
    """Return what bytes of the type `name` mean; None when they are just bytes."""
    if name == "net.IP" and len(data) in (4, 16):
        return ip_text(data)
    if name == "uuid.UUID" and len(data) == 16:
        return str(uuid.UUID(bytes=data))
    return None


def struct_text(memory: GoMemory, number: int, addr: int) -> str | None:
    """Return what the struct of type `number` at `addr` means; None when its fields say it. Raises `NotCaptured`."""
    said = _STRUCTS.get(memory.types.name(number))
    return said(memory, number, addr) if said is not None else None


def duration_text(nanoseconds: int) -> str:
    """Return what ``time.Duration.String`` says."""
    sign, left = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if not left:
        return "0s"
    if left < 10**9:
        unit, scale = next(
            pair for pair in (("ns", 1), ("µs", 10**3), ("ms", 10**6)) if left < pair[1] * 1000
        )
        return f"{sign}{_decimal(left, scale)}{unit}"
    minutes, rest = divmod(left, 60 * 10**9)
    text = f"{_decimal(rest, 10**9)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return sign + text


def _decimal(value: int, scale: int) -> str:
    whole, part = divmod(value, scale)
    digits = str(part).zfill(len(str(scale)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _time(memory: GoMemory, _number: int, addr: int) -> str:
    """Return a time.Time as RFC 3339 in UTC, whatever its location is."""
    wall, seconds = memory.image.unpack("<Qq", addr)
    if wall >> 63:  # hasMonotonic: seconds since 1885 stand beside the nanoseconds
        seconds = _WALL_TO_INTERNAL + (wall << 1 & (1 << 64) - 1) // (1 << 31)
    nanoseconds = wall & (1 << 30) - 1
    if not 0 <= seconds < _LAST_SECOND or nanoseconds >= 10**9:
        return f"{seconds} s and {nanoseconds} ns after year 1"
    if not seconds and not nanoseconds:
        return "0001-01-01T00:00:00Z (zero)"
    moment = (datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).replace(tzinfo=None)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return moment.isoformat(timespec="seconds") + fraction + "Z"


def _state(memory: GoMemory, _number: int, addr: int) -> str:
    state = memory.image.i32(addr)  # sync/mutex.go: mutexLocked, and waiters from bit 3 on
    waiting = state >> 3
    return ("locked" if state & 1 else "unlocked") + (f", {waiting} waiting" if waiting > 0 else "")


def _read_write_lock(memory: GoMemory, number: int, addr: int) -> str | None:
    count, wait = memory.field(number, "readerCount"), memory.field(number, "readerWait")
    if count is None or wait is None:
        return None
    readers, awaited = memory.image.i32(addr + count.offset), memory.image.i32(addr + wait.offset)
    if readers >= 0:
        return f"{readers} reading" if readers else "unlocked"
    blocked = readers + _MOST_READERS
    text = f"a writer waits for {awaited} reading" if awaited > 0 else "locked for writing"
    return f"{text}, {blocked} waiting" if blocked > 0 and awaited <= 0 else text


def _wait_group(memory: GoMemory, number: int, addr: int) -> str | None:
    field = memory.field(number, "state")
    if field is None:
        return None
    state = memory.image.u64(addr + field.offset)  # sync/waitgroup.go: counter in the high half
    waiting = state & 0x7FFFFFFF
    return f"counter {state >> 32}" + (f", {waiting} waiting" if waiting else "")


def _once(memory: GoMemory, number: int, addr: int) -> str | None:
    field = memory.field(number, "done")
    return None if field is None else "done" if memory.image.u8(addr + field.offset) else "not done"


def _big_int(memory: GoMemory, number: int, addr: int) -> str | None:
    """Return a math/big.Int in decimal: {neg bool, abs nat}, words of 64 bits, the lowest first."""
    sign, words = memory.field(number, "neg"), memory.field(number, "abs")
    if sign is None or words is None:
        return None
    data, length = memory.image.unpack("<QQ", addr + words.offset)
    if length > _MOST_WORDS or not memory.is_plausible(data, length * 8):
        return None
    value = int.from_bytes(memory.image.read(data, length * 8), "little") if length else 0
    if value.bit_length() > 8192:  # a text of thousands of digits helps nobody
        return f"a number of {value.bit_length():,} bits"
    return f"{'-' if memory.image.u8(addr + sign.offset) else ''}{value}"


_STRUCTS: Final[dict[str, Callable[[GoMemory, int, int], str | None]]] = {
    "time.Time": _time,
    "sync.Mutex": _state,
    "sync.RWMutex": _read_write_lock,
    "sync.WaitGroup": _wait_group,
    "sync.Once": _once,
    "big.Int": _big_int,
    **NETIP_STRUCTS,
}
