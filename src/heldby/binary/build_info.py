"""`BuildInfo`: what the Go linker says of a build: Go version, modules, settings.

Source: debug/buildinfo and cmd/link/internal/ld/data.go (Go 1.18 to 1.27 write the same form).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from heldby.binary.executable import Executable

MAGIC: Final = b"\xff Go buildinf:"
_HEADER_BYTES = 32
_ALIGN = 16
_INLINE_STRINGS = 2
_MARK_BYTES = 16  # cmd/go puts 16 random bytes before and after the module text (modload/build.go)
_MAX_TEXT = 1 << 22
_MAX_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the build; `replaced_by` is what a ``replace`` directive put in its place."""

    path: str
    version: str
    checksum: str
    replaced_by: Module | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInfo:
    """What the linker recorded.

    Attributes:
        go_version: ``go1.27.3``, with experiments where there are any (``go1.26.6-X:nogreenteagc``).
        path: import path of package main; empty when the module text is absent.
        main: the main module, None when it was not built in a module.
        dependencies: in the order of the text.
        settings: ``GOARCH``, ``-ldflags``, ``CGO_ENABLED``, ``GOEXPERIMENT``, ``vcs.revision`` ...
    """

    go_version: str
    path: str
    main: Module | None
    dependencies: tuple[Module, ...]
    settings: dict[str, str]


def read_build_info(executable: Executable) -> BuildInfo | None:
    """Return the build information, or None when the program has none (a few tools remove it).

    The section ``.go.buildinfo`` comes first, then every 16-aligned place that is mapped and starts with the
    magic bytes.
    """
    for data in _candidates(executable):
        info = _parse(data)
        if info is not None:
            return info
    return None


def _candidates(executable: Executable) -> Iterator[bytes]:
    section = executable.section(".go.buildinfo")
    if section is not None:
        yield executable.data[section.offset : section.offset + min(section.size, _MAX_TEXT)].tobytes()
    for found in itertools.islice(re.finditer(re.escape(MAGIC), executable.data.data), _MAX_CANDIDATES):
        start = found.start()
        segment = next((s for s in executable.segments if s.offset <= start < s.offset + s.file_size), None)
        if segment is not None and (segment.address + start - segment.offset) % _ALIGN == 0:
            yield executable.data[start : start + _MAX_TEXT].tobytes()


def _parse(data: bytes) -> BuildInfo | None:
    if not data.startswith(MAGIC) or len(data) < _HEADER_BYTES or not data[15] & _INLINE_STRINGS:
        return None
    version, position = _string(data, _HEADER_BYTES)
    if not version.startswith((b"go", b"devel")):
        return None
    text, _ = _string(data, position)
    if len(text) >= 2 * _MARK_BYTES + 1 and text[-_MARK_BYTES - 1 : -_MARK_BYTES] == b"\n":
        text = text[_MARK_BYTES:-_MARK_BYTES]
    return _understand(version.decode("utf-8", "replace"), text.decode("utf-8", "replace"))


def _string(data: bytes, position: int) -> tuple[bytes, int]:
    """Return a uvarint-prefixed string and the position after it; empty when it is not whole."""
    length = shift = 0
    while position < len(data) and shift < 63:
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if position + length > len(data):
        return b"", len(data)
    return data[position : position + length], position + length


def _understand(version: str, text: str) -> BuildInfo:
    path, main = "", None
    modules: list[Module] = []
    settings: dict[str, str] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition("\t")
        parts = (*rest.split("\t"), "", "", "")
        if kind == "path":
            path = rest
        elif kind == "mod":
            main = Module(parts[0], parts[1], parts[2])
        elif kind == "dep":
            modules.append(Module(parts[0], parts[1], parts[2]))
        elif kind == "=>" and modules:
            last = modules[-1]
            replacement = Module(parts[0], parts[1], parts[2])
            modules[-1] = Module(last.path, last.version, last.checksum, replacement)
        elif kind == "build":
            key, value = _setting(rest)
            settings[key] = value
    return BuildInfo(go_version=version, path=path, main=main, dependencies=tuple(modules), settings=settings)


def _setting(text: str) -> tuple[str, str]:
    """Split ``key=value``; either may be quoted like a Go string (debug/buildinfo, quoteKey)."""
    decoder = json.JSONDecoder()
    if text.startswith('"'):
        try:
            key, end = decoder.raw_decode(text)
        except ValueError:
            return text, ""
        value = text[end + 1 :]
    else:
        key, _, value = text.partition("=")
    if value.startswith('"'):
        try:
            value = decoder.raw_decode(value)[0]
        except ValueError:
            value = value.strip('"')
    elif value.startswith("`"):
        value = value.strip("`")
    return str(key), str(value)
