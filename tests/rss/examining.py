"""Runs one of the programs that make a share of their memory large, captures it and makes the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldby.analysis.answer import RssAccount
from heldby.analysis.rss import rss_account
from heldby.capture import capture_process
from heldby.heap import Heap, load_heap
from heldby.memory.core_file import CoreFile
from heldby.memory.mappings import parse_smaps
from tests.support.build import Mode, build
from tests.support.process import Running, running, wait_until_still
from tests.support.toolchains import Toolchain

PROGRAMS = Path(__file__).parent / "programs"
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One program at one moment.

    Attributes:
        account: what heldby says.
        amount: what the program says that it made large, in bytes.
        metrics: its own runtime/metrics at that moment; empty for a program that does not print them.
    """

    heap: Heap
    account: RssAccount
    amount: int
    metrics: Mapping[str, Any]

    def bytes_of(self, *names: str) -> int:
        """Return what the rows called so have together; each must be there."""
        found = {row.name: row.bytes for row in self.account.rows}
        return sum(found[name] or 0 for name in names)

    def group(self, name: str) -> int:
        """Return what the rows of a group have together."""
        return sum(row.bytes or 0 for row in self.account.rows if row.group == name)

    def require_whole(self) -> None:
        """Assert that the rows add up to RSS as the kernel counts it, and that nothing is left over."""
        account = self.account
        rows = [row.bytes for row in account.rows]
        assert None not in rows
        assert min(size or 0 for size in rows) >= 0
        assert account.total_bytes == resident_bytes(self.heap.process.core)
        assert account.unexplained_bytes is not None
        assert sum(size or 0 for size in rows) + account.unexplained_bytes == account.total_bytes
        assert abs(account.unexplained_bytes) < account.total_bytes / 100


def resident_bytes(core: CoreFile) -> int:
    """Return the sum of Rss over the mappings in the capture's copy of smaps."""
    assert core.note is not None
    return sum(item.resident for item in parse_smaps(core.note["proc"]["smaps"]))


@contextmanager
def started(
    cause: str,
    go: Toolchain,
    *arguments: str,
    mode: Mode = Mode.DEFAULT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run the program for `cause` until its memory is as it should be and nothing in it runs."""
    with running(
        build(PROGRAMS / "causes", go, mode), [cause, *arguments], environment=environment
    ) as program:
        wait_until_still(program.pid)
        yield program


def examine(
    cause: str,
    go: Toolchain,
    *arguments: str,
    mode: Mode = Mode.DEFAULT,
    environment: Mapping[str, str] | None = None,
) -> Examined:
    """Return what heldby says of the program for `cause`, beside what that says itself."""
    with started(cause, go, *arguments, mode=mode, environment=environment) as program:
        core = capture_process(program.pid, None).core
        program.send("go on")
        said = program.line()
    return examined(core, int(said["amount"]), said["metrics"])


def examine_offheap(cause: str, go: Toolchain) -> Examined:
    """The same for the program that takes memory through C."""
    with running(build(PROGRAMS / "offheap", go, Mode.CGO), [cause]) as program:
        wait_until_still(program.pid)
        core = capture_process(program.pid, None).core
    return examined(core, int(program.ready["amount"]), {})


def examined(core: CoreFile, amount: int, metrics: Mapping[str, Any]) -> Examined:
    """Return the account of a core."""
    heap = load_heap(core)
    account = rss_account(heap.process.core, heap.process, heap)
    return Examined(heap=heap, account=account, amount=amount, metrics=metrics)
