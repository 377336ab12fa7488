"""Which file a capture is, without reading all of it, and which heldby analysed it.

A capture is written once and has gigabytes, so its identity is its size, the time of its last change, and a hash
of its head, its tail and 256 pages in between. Whoever changes a byte changes the time. A file with another
content but the same size and time must have been given that time on purpose; it then still has other threads,
registers and notes at its head or tail, where a capture says when and from which process it was taken.
Another file at the same path, a copy with a time of its own, a changed byte: all are analysed anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from heldby.digests import new_digest
from heldby.memory.image import Bytes
from heldby.version import __version__

_EDGE_BYTES: Final = 1 << 20
_SAMPLES: Final = 256
_SAMPLE_BYTES: Final = 4096
_PACKAGE: Final = Path(__file__).parents[1]
# What decides on the numbers of an analysis; the rest shows them.
_ANALYSING: Final = ("memory", "binary", "golang", "graph", "heap", "analysis", "store")


def identity_of(path: Path) -> str:
    """Return the identity of the file at `path`; reads at most 3 MiB of it, and maps nothing."""
    with path.open("rb", buffering=0) as file:
        facts = os.fstat(file.fileno())
        digest = _digest(facts.st_size, lambda low, high: os.pread(file.fileno(), high - low, low))
    return f"{facts.st_size}-{facts.st_mtime_ns}-{digest}"


def digest_of(data: Bytes) -> str:
    """Return a hash of the size, head, tail and samples of `data`."""
    return _digest(data.size, lambda low, high: data[low:high].data)


def _digest(size: int, read: Callable[[int, int], bytes | memoryview]) -> str:
    digest = new_digest(str(size).encode())
    if size <= 2 * _EDGE_BYTES + _SAMPLES * _SAMPLE_BYTES:
        digest.update(read(0, size))
    else:
        digest.update(read(0, _EDGE_BYTES))
        for at in range(_EDGE_BYTES, size - _EDGE_BYTES, (size - 2 * _EDGE_BYTES) // _SAMPLES):
            digest.update(read(at, at + _SAMPLE_BYTES))
        digest.update(read(size - _EDGE_BYTES, size))
    return str(digest.hexdigest()[:32])


@cache
def analysis_version() -> str:
    """Return the release and a hash of the code that analyses: other code may find other numbers. 10 ms."""
    digest = new_digest()
    for name in _ANALYSING:
        for folder, subfolders, files in os.walk(_PACKAGE / name):
            subfolders.sort()
            for file in sorted(files):
                if file.endswith((".py", ".json")):
                    digest.update(file.encode() + b"\0" + Path(folder, file).read_bytes())
    return f"{__version__}-{digest.hexdigest()[:16]}"
