"""What is kept and is no column: JSON files, each with a checksum in the manifest."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldby.store.tables import Damaged


def write_document(path: Path, document: Any) -> dict[str, int]:
    """Write `document` to the new file `path`; return what the manifest says of it: bytes, checksum.

    Raises:
        OSError: the file cannot be written.
    """
    data = json.dumps(document, ensure_ascii=True).encode("ascii")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return {"bytes": len(data), "crc32": zlib.crc32(data)}


def read_document(path: Path, said: Mapping[str, int]) -> Any:
    """Return what `write_document` wrote.

    Raises:
        Damaged: the file is not there, or not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Damaged(f"{path.name}: {error}") from error
    if zlib.crc32(data) != said["crc32"]:
        raise Damaged(f"{path.name} has changed")
    try:
        return json.loads(data)
    except ValueError as error:
        raise Damaged(f"{path.name}: {error}") from error
