"""Programs for arm64 on any machine: qemu-user runs them and writes the core of the processor that it plays."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.process import ProgramFailed, running, wait_until_still

QEMU: Final = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
WITHOUT_QEMU: Final = "arm64 programs need qemu-aarch64 (Debian's qemu-user)"


@contextmanager
def arm64_core(
    program: Path, arguments: Sequence[str] = (), *, asked: str | None = None
) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Run an arm64 `program` until it stands still, abort it, and give its core and what it said when ready.

    What is `asked` is sent to it before, and its answer awaited.

    The core is that of qemu's ``elf_core_dump``, in the kernel's format, without pages that were never used;
    the program's read-only pages are not in it.

    Raises:
        ProgramFailed: if there is no qemu, or no core came.
    """
    if QEMU is None:
        raise ProgramFailed(WITHOUT_QEMU)
    with tempfile.TemporaryDirectory(prefix="arm64-") as folder:
        shell = f"cd {folder} && ulimit -c unlimited && exec {shlex.join([QEMU, str(program), *arguments])}"
        with running(Path("/bin/sh"), ["-c", shell], environment={"GOTRACEBACK": "crash"}) as process:
            wait_until_still(process.pid)
            if asked is not None:
                process.send(asked)
                process.line()
            os.kill(process.pid, signal.SIGABRT)
            process.process.wait(timeout=120)
            ready = process.ready
        found = sorted(Path(folder).glob("qemu_*.core"))
        if not found:
            raise ProgramFailed(f"{QEMU} wrote no core for {program}")
        yield found[0], ready
