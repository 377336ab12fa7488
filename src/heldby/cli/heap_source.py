"""TARGET and the options that say how its heap is read: the same for every command that reads one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from heldby.cli import options

if TYPE_CHECKING:
    from heldby.api import Method
    from heldby.cli.run import Run
    from heldby.heap import Heap
    from heldby.progress import Progress

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeapSource:
    """Whose heap, and how it is read.

    Attributes:
        target: a PID, or the path of a core file or capture.
        exe: the executable, for a core that does not bring it along.
        symbols: an unstripped build of the same source.
        method: how a process is captured.
        cache: use and keep the analysis of a file.
    """

    target: str
    exe: Path | None
    symbols: Path | None
    method: Method
    cache: bool

    def open(self, run: Run, progress: Progress) -> Heap:
        """Capture or open the target and return its heap; `run` keeps the analysis when all is said."""
        return run.open_heap(
            self.target,
            exe=self.exe,
            symbols=self.symbols,
            method=self.method,
            cache=self.cache,
            progress=progress,
        )


def heap_source(function: _F) -> _F:
    """Add TARGET, ``--exe``, ``--symbols``, ``--method``, ``--no-cache``, ``-v`` and ``-q``.

    The command takes all of it as ``source``.
    """

    @functools.wraps(function)
    def command(
        *args: Any,
        target: str,
        exe: Path | None,
        symbols: Path | None,
        method: Method,
        cache: bool,
        **kwargs: Any,
    ) -> Any:
        source = HeapSource(target=target, exe=exe, symbols=symbols, method=method, cache=cache)
        return function(*args, source=source, **kwargs)

    with_options: Any = options.talk(command)
    with_options = options.cache(with_options)
    with_options = options.method("auto", "fork", "stop")(with_options)
    with_options = options.symbols(with_options)
    return options.target(options.exe(with_options))  # type: ignore[no-any-return]
