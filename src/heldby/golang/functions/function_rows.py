"""The function table of one module as columns: ``runtime._func`` records, vectorised.

Facts from runtime/symtab.go; the records have not changed from Go 1.21 to 1.27. Every offset is checked
against the table before it is used; a record that lies outside is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.module import Module
from heldby.memory.image import Bytes, Image

Words32 = NDArray[np.uint32]
Numbers = NDArray[np.int64]
_Array = TypeVar("_Array", bound=NDArray[Any])

# Words of runtime._func.
_NAME, _ARGS, _DEFERRETURN, _PCSP, _PCFILE, _PCLN, _NPCDATA, _CU, _START_LINE, _KIND = range(1, 11)
_FUNC_WORDS: Final = 11
NO_OFFSET: Final = 0xFFFFFFFF
_MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class ModuleFunctions:
    """The functions of one module in address order; offsets are into this module's tables.

    Attributes:
        names: strings that end in a zero byte.
        files: the same.
        units: offsets in `files` by compile unit and file number.
        entry: ``uint64[n]``.
        limit: ``uint64[n]``, the first address behind each.
        columns: ``int64[n]`` by name.
        pctab: pc-value tables.
        funcdata: what follows ``gofunc``.
        rodata: what follows ``rodata``.
    """

    names: Bytes
    files: Bytes
    units: Words32
    entry: NDArray[np.uint64]
    limit: NDArray[np.uint64]
    columns: dict[str, Numbers]
    pctab: Bytes
    funcdata: Bytes
    rodata: Bytes


def read_module_functions(image: Image, layout: Layout, module: Module) -> ModuleFunctions:
    """Return the functions of `module`; O(functions). Raises `NotCaptured`."""
    pclntable = image.read_array(*module.slice("pclntable"))
    ftab_addr, count = module.slice("ftab")
    ftab = np.frombuffer(image.read(ftab_addr, 8 * max(count, 1)), np.uint32).reshape(-1, 2)
    words = pclntable[: pclntable.size // 4 * 4].view(np.uint32)
    columns, sound = _decode(words, ftab[:-1, 1].astype(np.int64) // 4, layout)
    addrs = _text_addrs(image, module, ftab[:, 0])
    cu_addr, cu_count = module.slice("cutab")
    last_funcdata = max(
        (
            int(columns[name].max(initial=-1))
            for name in ("args_maps", "locals_maps", "objects", "inline_tree")
        ),
        default=-1,
    )
    return ModuleFunctions(
        names=frozen(image.read_array(*module.slice("funcnametab"))),
        files=frozen(image.read_array(*module.slice("filetab"))),
        units=np.frombuffer(image.read(cu_addr, 4 * cu_count), np.uint32),
        entry=addrs[:-1][sound],
        limit=addrs[1:][sound],
        columns={name: column[sound] for name, column in columns.items()},
        pctab=frozen(image.read_array(*module.slice("pctab"))),
        # Neither gofunc nor rodata has a length; what is behind the last item is one item at most.
        funcdata=_readable(image, module.word("gofunc"), last_funcdata + (1 << 22)),
        rodata=_readable(image, module.word("rodata"), 1 << 32),
    )


def _decode(words: Words32, at: Numbers, layout: Layout) -> tuple[dict[str, Numbers], NDArray[np.bool_]]:
    """Return the columns of ``runtime._func`` at word offsets `at`, and which lie inside the table."""
    sound = (at >= 0) & (at + _FUNC_WORDS <= words.size)
    at = np.where(sound, at, 0)
    if words.size < _FUNC_WORDS:
        words = np.zeros(_FUNC_WORDS, np.uint32)

    def field(number: int, *, signed: bool = False) -> Numbers:
        column = words[at + number]
        return (column.view(np.int32) if signed else column).astype(np.int64)

    kind, pcdata_count = field(_KIND), field(_NPCDATA)
    funcdata_count = kind >> 24
    sound &= at + _FUNC_WORDS + pcdata_count + funcdata_count <= words.size

    def item(count: Numbers, start: Numbers, name: str, none: int) -> Numbers:
        number = layout.const(f"internal/abi.{name}")
        present = sound & (count > number)
        values = words[np.where(present, at + _FUNC_WORDS + start + number, 0)].astype(np.int64)
        if none < 0:
            values[values == NO_OFFSET] = none
        return np.where(present, values, none)

    no_items = np.zeros_like(at)
    columns = {
        "name": field(_NAME),
        "args": field(_ARGS, signed=True),
        "deferreturn": field(_DEFERRETURN),
        "frame_sizes": field(_PCSP),
        "files": field(_PCFILE),
        "lines": field(_PCLN),
        "unit": field(_CU),
        "start_line": field(_START_LINE, signed=True),
        "kind": kind & 0xFF,
        "flags": kind >> 8 & 0xFF,
        "map_numbers": item(pcdata_count, no_items, "PCDATA_StackMapIndex", 0),
        "inline_index": item(pcdata_count, no_items, "PCDATA_InlTreeIndex", 0),
        "args_maps": item(funcdata_count, pcdata_count, "FUNCDATA_ArgsPointerMaps", -1),
        "locals_maps": item(funcdata_count, pcdata_count, "FUNCDATA_LocalsPointerMaps", -1),
        "objects": item(funcdata_count, pcdata_count, "FUNCDATA_StackObjects", -1),
        "inline_tree": item(funcdata_count, pcdata_count, "FUNCDATA_InlTree", -1),
    }
    return columns, sound


def _text_addrs(image: Image, module: Module, offsets: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the addresses of text offsets; large programs on arm64 have several text sections."""
    wide = offsets.astype(np.uint64)
    addrs = wide + np.uint64(module.word("text"))
    pointer, count = module.slice("textsectmap")
    if 1 < count < 1024:
        for start, end, base in image.words(pointer, 3 * count).reshape(-1, 3):
            inside = (wide >= start) & (wide <= end)
            addrs[inside] = wide[inside] - start + base
    return addrs


def _readable(image: Image, addr: int, size: int) -> Bytes:
    """Return the bytes from `addr` to the first gap, at most `size`; none when `addr` is missing."""
    end = addr
    while end < addr + size and (segment := image.segment_at(end)) is not None:
        end = segment.end
    try:
        return frozen(image.read_array(addr, min(end, addr + size) - addr))
    except NotCaptured:
        return frozen(np.empty(0, np.uint8))


def text_at(table: Bytes, offset: int) -> str:
    """Return the string at `offset`, cut off at 4096 bytes; ``?`` outside of the table."""
    raw = table[offset : offset + _MAX_TEXT].tobytes() if 0 <= offset < table.size else b"?"
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def texts_at(table: Bytes, offsets: NDArray[np.integer]) -> list[str]:
    """Return the string at each offset, as `text_at` does."""
    data = table.tobytes()
    found = []
    for offset in offsets.tolist():
        if not 0 <= offset < len(data):
            found.append("?")
            continue
        end = data.find(b"\0", offset, offset + _MAX_TEXT)
        found.append(data[offset : end if end >= 0 else offset + _MAX_TEXT].decode("utf-8", "replace"))
    return found


def frozen(array: _Array) -> _Array:
    """Return the array without the right to write: kernels are compiled once for read-only arrays."""
    view = array.view()
    view.flags.writeable = False
    return view
