"""Digests of files, sources and numbers, without OpenSSL: `hashlib` brings 3.4 MiB of it into every process."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

try:
    # Part of CPython since 3.6; the standard library's `random` takes its hash in the same way.
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

DIGEST_BYTES: Final = 32


def new_digest(data: bytes = b"") -> Any:
    """Return an object with ``update``, ``digest`` and ``hexdigest``: BLAKE2b of `DIGEST_BYTES` bytes."""
    return blake2b(data, digest_size=DIGEST_BYTES)


def hex_digest(data: bytes, digits: int) -> str:
    """Return the first hexadecimal digits of the digest of `data`."""
    text: str = new_digest(data).hexdigest()
    return text[:digits]


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread numbers over 64 bits (the finalizer of MurmurHash3, by Austin Appleby); sums of them tell sets apart."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
