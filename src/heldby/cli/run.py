"""One run of the command line: what the user wants to hear, the steps so far, and where output goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heldby.cli.standard_streams import ClosedOutput, closed_error
from heldby.errors import OutputError, UsageError
from heldby.units import format_amount, format_seconds

if TYPE_CHECKING:
    import subprocess

    from rich.console import Console

    from heldby.api import Method
    from heldby.heap import Heap
    from heldby.progress import Progress
    from heldby.store import Opened

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE_ARRAY: Final = 1 << 20
_KEPT: Final = 1 << 21


@dataclass(slots=True)
class Run:
    """What the commands share.

    Attributes:
        verbose: log every step with its duration on stderr.
        quiet: nothing on stderr but errors.
        steps: the steps of this run as they are logged; an internal error's report brings them along.
    """

    verbose: bool = False
    quiet: bool = False
    steps: list[str] = field(default_factory=list)
    _opened: Opened | None = None
    _told_losses: bool = False

    def open_heap(
        self,
        target: str,
        *,
        exe: Path | None,
        symbols: Path | None,
        method: Method,
        cache: bool,
        progress: Progress,
    ) -> Heap:
        """Capture or open `target`, as `heldby.open` does; `keep` follows when the answer was given."""
        from heldby.api import open_kept
        from heldby.render.plain_text import printable

        self._opened = open_kept(
            target,
            exe=exe,
            symbols=symbols,
            method=method,
            cache=cache,
            progress=progress,
            tell=lambda word: self.tell(f"heldby: {printable(word)}"),
        )
        return self._opened.heap

    @property
    def losses(self) -> tuple[str, ...]:
        """What the numbers of the heap lack that was opened, see `Heap`: whatever is said of it carries that."""
        return tuple(self._opened.heap.losses) if self._opened is not None else ()

    def keep(self) -> None:
        """Keep the analysis for the next question, after this one was answered; a failure is no error."""
        if self._opened is None or not self._opened.wanted:
            return
        try:
            with self.working() as progress:
                self._opened.keep(progress)
        except (KeyboardInterrupt, MemoryError):
            self.tell("heldby: the analysis is not kept; the next question will take as long as this one")

    def tell(self, line: str) -> None:
        """Write a line to stderr unless it should be quiet."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def tell_losses(self) -> None:
        """Write what the numbers lack to stderr, once, beside a format that has no place for it."""
        from heldby.render.plain_text import printable

        losses = () if self._told_losses else self.losses
        for loss in losses:
            self.tell(f"heldby: note: {printable(loss)}")
        self._told_losses = True

    def log(self, line: str) -> None:
        """Keep a line for the report of an internal error; show it when verbose."""
        self.steps.append(line)
        if self.verbose:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def working(self) -> Iterator[Progress]:
        """Show progress, log the steps, and say so when kernels must be compiled first."""
        return_freed_arrays()
        from heldby.jit import watch_compilation
        from heldby.render.progress_bar import ProgressBar

        def ended(name: str, seconds: float, amount: int, unit: str) -> None:
            what = f"  ({format_amount(amount, unit)})" if amount else ""
            self.log(f"{format_seconds(seconds):>8}  {name}{what}")

        told: list[object] = []
        warming: list[subprocess.Popen[bytes]] = []

        def compiling(kernel: object, _kinds: object) -> None:
            if not told:
                self.tell(
                    "heldby: compiling for this machine, once for each kind of question; this takes about 10 s"
                )
                from heldby.warming import collect_rarely, start_warming

                warming.append(start_warming())
                collect_rarely()
            told.append(kernel)

        drawn = not self.quiet and sys.stderr.isatty()
        try:
            with watch_compilation(compiling), ProgressBar(_stderr if drawn else None, listener=ended) as bar:
                yield bar
        finally:
            for process in warming:
                process.terminate()
                process.wait()
        if told:
            self.log(f"          compiled {len(told)} kernels")


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def return_freed_arrays() -> None:
    """Have the C library give arrays that are freed back to the system, however large those before them were.

    glibc keeps blocks up to the size of the largest one freed so far (mallopt(3), M_MMAP_THRESHOLD), and what
    lies between those that live is lost: 30 MiB at a million objects. What is smaller, as arrays are that are made
    for a stretch of objects at a time, is kept to be used again: each page that the system gives anew costs a fault.
    """
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_ARRAY)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def output_console(file: object = None) -> Console:
    """Return the console for stdout, or one that writes plain text to `file`."""
    from rich.console import Console

    class OutputConsole(Console):
        """A console that leaves it to `main` that its reader is gone; rich's own ends with exit code 1."""

        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (rich calls it while it handles the error)

    return OutputConsole(file=file, highlight=False, emoji=False, markup=False)  # type: ignore[arg-type]


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write `data` to `path`, whole or not at all; an existing file only with `force`.

    Raises:
        UsageError, OutputError: as for `replacing`.
    """
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[Path]:
    """Give a file to write (mode 0600) that takes the place of `path` when the block ends well.

    What is no file (``/dev/null``, a FIFO) keeps its place and is written to.

    Raises:
        UsageError: the file exists.
        OutputError: the folder cannot be written to, or its disk is full.
    """
    import shutil
    import tempfile

    refuse_existing(path, force=force)
    if path.exists() and not path.is_file():
        with tempfile.TemporaryDirectory(prefix="heldby-") as folder:
            temporary = Path(folder, path.name)
            temporary.touch(mode=0o600)
            yield temporary
            with temporary.open("rb") as made, path.open("wb") as device:
                shutil.copyfileobj(made, device)
        return
    try:
        # In a folder of its own: whoever writes the file may do so by way of another one that all can read.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            temporary = Path(folder, path.name)
            temporary.touch(mode=0o600)
            yield temporary
            temporary.chmod(0o600)
            temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}", next_step="choose another place for the output"
        ) from error


def refuse_output(path: Path | None, *, force: bool) -> None:
    """Raise a `HeldbyError`, before the work, when an answer cannot go to `path`, or to stdout for None."""
    if path is not None:
        refuse_existing(path, force=force)
    elif isinstance(sys.stdout, ClosedOutput):
        raise closed_error()


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise `UsageError` when `path` is a file that may not be replaced; before the work, not after it."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", next_step="name a file")
    if path.is_file() and not force:
        raise UsageError(f"{path} exists", next_step="choose another name, or replace it with --force")
