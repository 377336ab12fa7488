"""Files of machine code: what they are called, and what is in them.

A folder for each module of kernels is named after a digest of that module and of all modules of ours that it
imports, so a change in any of them is another folder. A file holds one kernel for one list of kinds of arguments: a
magic number, a digest of the rest, a line of JSON, and an object file. A damaged file is a miss.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from heldby.digests import DIGEST_BYTES, hex_digest, new_digest
from heldby.jit.signature import Kind, encoded

_PACKAGE: Final = Path(__file__).parents[1]
_HERE: Final = Path(__file__).parent
_IMPORT = re.compile(r"^from (?P<module>heldby[\w.]*) import (?P<names>\([^)]*\)|[^\n#]*)", re.MULTILINE)
_MAGIC: Final = b"heldby kernel 1\0"


class CompiledKernel(NamedTuple):
    """A kernel's object file, the name of the function in it, and what that returns."""

    code: bytes
    entry: str
    returns: str | list[str] | None
    """The NumPy name of a number, those of a tuple's, or None."""


def place_of(module: Path, name: str, kinds: Sequence[Kind]) -> Path:
    """Return folder and file of the kernel `name` of the source file `module`, for arguments of `kinds`."""
    written = json.dumps([encoded(kind) for kind in kinds])
    return Path(_module_folder(module), f"{name}-{hex_digest(written.encode(), 16)}.kernel")


@cache
def compiler_sources() -> str:
    """Return how this package compiles, links and calls: the sources of `heldby.jit`."""
    return "".join(path.read_text("utf-8") for path in sorted(_HERE.glob("*.py")))


def read_kernel(path: Path) -> CompiledKernel | None:
    """Return the kernel that is kept at `path`; None where none is, or a damaged one."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + new_digest(body).digest():
        return None
    header, _, code = body.partition(b"\n")
    return CompiledKernel(code=code, **json.loads(header))


def write_kernel(path: Path, made: CompiledKernel) -> None:
    """Keep a kernel at `path`, whose folder exists; whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    header = json.dumps({"entry": made.entry, "returns": made.returns}).encode()
    body = header + b"\n" + made.code
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_MAGIC + new_digest(body).digest() + body)
        Path(temporary).replace(path)
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


@cache
def _module_folder(module: Path) -> str:
    """Return the name of the folder for the kernels of `module`: it differs when any source differs."""
    digest = new_digest()
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        source = path.read_text("utf-8")
        digest.update(source.encode() + b"\0")
        for found in _IMPORT.finditer(source):
            folder = _PACKAGE.joinpath(*found["module"].split(".")[1:])
            names = [name.split()[0] for name in found["names"].strip("()").split(",") if name.strip()]
            waiting += [folder.with_suffix(".py"), *(folder / f"{name}.py" for name in names)]
    return f"{module.stem}-{digest.hexdigest()[:16]}"
