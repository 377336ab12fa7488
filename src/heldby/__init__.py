"""heldby says who holds the memory of a Go process, why it is bigger than its heap, and what to change.

`open` reads a target (a PID, a core file or a capture) and returns its `Heap`, which the commands read too.
Everything heavy is imported on first use, so that ``heldby --help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heldby.version import __version__

if TYPE_CHECKING:
    from heldby.api import open  # noqa: A004
    from heldby.heap import Heap

__all__ = ["Heap", "__version__", "open"]


def __getattr__(name: str) -> Any:
    if name == "open":
        from heldby.api import open as open_target

        return open_target
    if name == "Heap":
        from heldby.heap import Heap

        return Heap
    raise AttributeError(f"module 'heldby' has no attribute {name!r}")
