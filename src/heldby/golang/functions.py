"""Functions by address: names, files, lines and inlined calls, from the table that every Go program carries.

The function table (pclntab) stays in a stripped program: the runtime needs it to unwind stacks. Facts from
runtime/symtab.go and runtime/symtabinl.go, Go 1.21 to 1.27. Names are bytes of the target: hostile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang import function_kernels as kernels
from heldby.golang.function_kernels import FunctionColumns
from heldby.golang.layout import Layout
from heldby.golang.module import Module
from heldby.golang.runtime import Runtime
from heldby.memory.image import Bytes, Image

Words32 = NDArray[np.uint32]
Numbers = NDArray[np.int64]
_Array = TypeVar("_Array", bound=NDArray[Any])

# Words of runtime._func, unchanged from Go 1.21 to 1.27.
_NAME, _ARGS, _DEFERRETURN, _PCSP, _PCFILE, _PCLN, _NPCDATA, _CU, _START_LINE, _KIND = range(1, 11)
_FUNC_WORDS: Final = 11
_NO_FUNCDATA: Final = 0xFFFFFFFF
_MAX_TEXT: Final = 4096
_MAX_INLINED: Final = 1024
_INLINED_CALL_SIZE: Final = 16
_ROLES: Final = {
    "sigpanic": kernels.ROLE_SIGPANIC,
    "asyncPreempt": kernels.ROLE_ASYNC_PREEMPT,
    "debugCallV2": kernels.ROLE_DEBUG_CALL,
    "cgocallback": kernels.ROLE_CGOCALLBACK,
    "gogo": kernels.ROLE_GOGO,
}
_REFLECT_STUBS: Final = ("reflect.makeFuncStub", "reflect.methodValueCall")


class Position(NamedTuple):
    """A place in source code; `line` is 0 and `file` is ``?`` where the program does not say."""

    function: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class _ModuleTable:
    """The function table of one module: columns by function, offsets relative to this module."""

    names: Bytes
    files: Bytes
    units: Words32
    entry: NDArray[np.uint64]
    limit: NDArray[np.uint64]
    columns: dict[str, Numbers]
    pctab: Bytes
    funcdata: Bytes
    rodata: Bytes


class FunctionTable:
    """All functions of all modules, in address order.

    Args:
        runtime: the runtime whose modules are read.

    Attributes:
        columns: the table as compiled kernels read it.
        quantum: bytes of the smallest instruction, the unit of pc deltas.

    Raises:
        NotCaptured: the function table is neither in the core nor in the executable.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.quantum = 4 if runtime.layout.arch == "arm64" else 1
        tables = [_read_module(runtime.image, runtime.layout, module) for module in runtime.modules]
        tables.sort(key=lambda table: int(table.entry[0]) if table.entry.size else 0)
        self._tables = tables
        self._first = np.cumsum([0, *(table.entry.size for table in tables)])
        self._bases = {
            name: np.cumsum([0, *(getattr(table, name).size for table in tables)])
            for name in ("pctab", "funcdata", "rodata")
        }
        self.columns = self._join(runtime.layout)

    def __len__(self) -> int:
        return int(self.columns.entry.size)

    def index(self, pc: int) -> int:
        """Return the number of the function that holds `pc`, or -1."""
        return int(self.indexes(np.array([pc], np.uint64))[0])

    def indexes(self, pcs: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the function of each pc as ``int64[n]``, -1 for none; O(n log functions)."""
        out = np.empty(pcs.size, np.int64)
        kernels.find_functions(self.columns.entry, self.columns.limit, pcs.astype(np.uint64), out)
        return out

    @lru_cache(maxsize=1 << 16)  # noqa: B019 - one table per analysis
    def name(self, index: int) -> str:
        """Return the function's full name, ``?`` for -1."""
        if not 0 <= index < len(self):
            return "?"
        table, row = self._row(index)
        return _text(table.names, int(table.columns["name"][row]))

    def entry(self, index: int) -> int:
        """Return the address of the function's first instruction."""
        return int(self.columns.entry[index])

    def start_line(self, index: int) -> int:
        """Return the line of the ``func`` keyword, 0 when unknown."""
        table, row = self._row(index)
        return int(table.columns["start_line"][row])

    def named(self, name: str) -> int:
        """Return the function with exactly this name, or -1; O(functions), without decoding them."""
        wanted = name.encode()
        for number, table in enumerate(self._tables):
            found = table.names.tobytes().find(b"\0" + wanted + b"\0")
            if found >= 0:
                rows = np.flatnonzero(table.columns["name"] == found + 1)
                if rows.size:
                    return int(self._first[number] + rows[0])
        return -1

    def file_line(self, pc: int) -> tuple[str, int]:
        """Return file and line of the instruction at `pc`, ``("?", 0)`` when unknown.

        For a return address give ``pc - 1``. Inlined code answers with its own place.
        """
        innermost = self.inlined(pc)
        return (innermost[0].file, innermost[0].line) if innermost else ("?", 0)

    @lru_cache(maxsize=1 << 16)  # noqa: B019 - one table per analysis
    def inlined(self, pc: int) -> tuple[Position, ...]:
        """Return the calls that the instruction at `pc` belongs to, innermost first; the last is the function.

        Empty when no function holds `pc`. For a return address give ``pc - 1``.
        """
        index = self.index(pc)
        if index < 0:
            return ()
        table, row = self._row(index)
        entry = self.entry(index)
        distance = pc - entry
        positions: list[Position] = []
        tree = int(table.columns["inline_tree"][row])
        for _ in range(_MAX_INLINED):
            call = self._value(table, row, "inline_index", distance) if tree >= 0 else -1
            at = tree + call * _INLINED_CALL_SIZE
            if call < 0 or at + _INLINED_CALL_SIZE > table.funcdata.size:
                break
            record = table.funcdata[at : at + _INLINED_CALL_SIZE].tobytes()
            name = int.from_bytes(record[4:8], "little")
            positions.append(Position(_text(table.names, name), *self._place(table, row, distance)))
            parent = int.from_bytes(record[8:12], "little", signed=True)
            if not 0 <= parent != distance:
                break
            distance = parent
        positions.append(Position(self.name(index), *self._place(table, row, distance)))
        return tuple(positions)

    def _row(self, index: int) -> tuple[_ModuleTable, int]:
        number = int(np.searchsorted(self._first, index, "right")) - 1
        return self._tables[number], index - int(self._first[number])

    def _value(self, table: _ModuleTable, row: int, column: str, distance: int) -> int:
        offset = int(table.columns[column][row])
        return int(kernels.pc_value(table.pctab, offset, distance, self.quantum))

    def _place(self, table: _ModuleTable, row: int, distance: int) -> tuple[str, int]:
        line = self._value(table, row, "lines", distance)
        number = self._value(table, row, "files", distance)
        unit = int(table.columns["unit"][row]) + number
        file = "?"
        if number >= 0 and unit < table.units.size and int(table.units[unit]) != _NO_FUNCDATA:
            file = _text(table.files, int(table.units[unit]))
        return file, max(line, 0)

    def _join(self, layout: Layout) -> FunctionColumns:
        def shifted(column: str, base: str, none: int) -> Numbers:
            parts = []
            for number, table in enumerate(self._tables):
                values = table.columns[column]
                parts.append(np.where(values == none, none, values + int(self._bases[base][number])))
            return _frozen(np.concatenate(parts).astype(np.int64))

        def plain(column: str) -> Numbers:
            return np.concatenate([table.columns[column] for table in self._tables])

        masks = [np.full(t.entry.size, self._bases["rodata"][n]) for n, t in enumerate(self._tables)]
        return FunctionColumns(
            entry=_frozen(np.concatenate([table.entry for table in self._tables])),
            limit=_frozen(np.concatenate([table.limit for table in self._tables])),
            frame_sizes=shifted("frame_sizes", "pctab", 0),
            map_numbers=shifted("map_numbers", "pctab", 0),
            args_maps=shifted("args_maps", "funcdata", -1),
            locals_maps=shifted("locals_maps", "funcdata", -1),
            objects=shifted("objects", "funcdata", -1),
            masks=_frozen(np.concatenate(masks).astype(np.int64)),
            args=_frozen(plain("args")),
            deferreturn=_frozen(plain("deferreturn")),
            flags=_frozen(plain("flags").astype(np.uint8)),
            roles=_frozen(self._roles(layout)),
            pctab=_joined([table.pctab for table in self._tables]),
            funcdata=_joined([table.funcdata for table in self._tables]),
            rodata=_joined([table.rodata for table in self._tables]),
        )

    def _roles(self, layout: Layout) -> NDArray[np.uint8]:
        """Return which functions the unwinder treats specially; numbers of functions shift between releases."""
        kinds = np.concatenate([table.columns["kind"] for table in self._tables])
        roles = np.zeros(kinds.size, np.uint8)
        for name, role in _ROLES.items():
            number = layout.const(f"internal/abi.FuncID_{name}", -1)
            roles[kinds == number] = role
        for name in _REFLECT_STUBS:
            index = self.named(name)
            if index >= 0:
                roles[index] = kernels.ROLE_REFLECT_STUB
        return roles


def package_of(name: str) -> str:
    """Return the import path of a function: ``gopkg.in/yaml.v3`` for ``gopkg.in/yaml%2ev3.(*Node).Decode``.

    The path ends at the first dot after the last slash outside of type arguments; the linker writes dots of
    the last path element as ``%2e`` (cmd/internal/objabi ``PathToPrefix``).
    """
    head = name.split("[", 1)[0]
    slash = head.rfind("/")
    dot = head.find(".", slash + 1)
    path = head[:dot] if dot >= 0 else head
    return path.replace("%2e", ".").replace("%22", '"').replace("%25", "%")


def _read_module(image: Image, layout: Layout, module: Module) -> _ModuleTable:
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
    return _ModuleTable(
        names=_frozen(image.read_array(*module.slice("funcnametab"))),
        files=_frozen(image.read_array(*module.slice("filetab"))),
        units=np.frombuffer(image.read(cu_addr, 4 * cu_count), np.uint32),
        entry=addrs[:-1][sound],
        limit=addrs[1:][sound],
        columns={name: column[sound] for name, column in columns.items()},
        pctab=_frozen(image.read_array(*module.slice("pctab"))),
        # Neither gofunc nor rodata has a length; what is behind the last item is one item at most.
        funcdata=_readable(image, module.word("gofunc"), last_funcdata + (1 << 22)),
        rodata=_readable(image, module.word("rodata"), 1 << 32),
    )


def _decode(words: Words32, at: Numbers, layout: Layout) -> tuple[dict[str, Numbers], NDArray[np.bool_]]:
    """Return the columns of ``runtime._func`` at word offsets `at`, and which of them lie inside the table."""
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
            values[values == _NO_FUNCDATA] = none
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
    """Return the bytes from `addr` on, at most `size`, up to the first gap; nothing when `addr` is missing."""
    end = addr
    while end < addr + size and (segment := image.segment_at(end)) is not None:
        end = segment.end
    try:
        return _frozen(image.read_array(addr, min(end, addr + size) - addr))
    except NotCaptured:
        return _frozen(np.empty(0, np.uint8))


def _text(table: Bytes, offset: int) -> str:
    raw = table[offset : offset + _MAX_TEXT].tobytes() if 0 <= offset < table.size else b"?"
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _joined(parts: Sequence[Bytes]) -> Bytes:
    return _frozen(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _frozen(array: _Array) -> _Array:
    """Return the array without the right to write: kernels are compiled once for read-only arrays."""
    view = array.view()
    view.flags.writeable = False
    return view
