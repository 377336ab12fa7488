"""Machine code from an object file into executable memory, without LLVM.

Numba emits each kernel as a relocatable ELF file for the large code model, so on amd64 every reference is a whole
address (``R_X86_64_64``; System V ABI, AMD64 supplement, section 4.4) and the only symbols outside are functions
of the C library (``memset``). That much is linked here; what else is met, and arm64, is left to LLVM's own linker,
which costs 42 MiB and a fifth of a second.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from functools import cache
from typing import Any, Final

import numpy as np

_ABSOLUTE: Final = 1  # R_X86_64_64
_ALLOCATED, _WRITABLE = 2, 1  # SHF_ALLOC, SHF_WRITE
_RELA: Final = 4  # SHT_RELA
_UNDEFINED, _NUMBER, _COMMON = 0, 0xFFF1, 0xFFF2  # SHN_UNDEF, SHN_ABS, SHN_COMMON
_UNWINDING: Final = ".eh_frame"  # nothing unwinds through a kernel
_LARGEST_COMMON: Final = 4096

_SECTION: Final = np.dtype([(name, f"<u{size}") for name, size in (
    ("name", 4), ("type", 4), ("flags", 8), ("address", 8), ("offset", 8), ("size", 8), ("link", 4), ("info", 4),
    ("align", 8), ("entry", 8),
)])  # fmt: skip
_SYMBOL: Final = np.dtype([(name, f"<u{size}") for name, size in (
    ("name", 4), ("info", 1), ("other", 1), ("section", 2), ("value", 8), ("size", 8),
)])  # fmt: skip
_RELOCATION: Final = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])


class CannotLink(Exception):
    """The object file has what only LLVM's linker understands."""


def load(code: bytes, entry: str) -> tuple[int, Any]:
    """Return the address of the function `entry` of an object file, and what keeps it in memory.

    Raises:
        OSError: there is no executable memory to be had.
    """
    if platform.machine() == "x86_64":
        try:
            return _Object(code).linked(entry)
        except CannotLink:
            pass
    return _loaded_by_llvm(code, entry)


class _Object:
    """A relocatable file of ours: it is trusted, having come from Numba and by way of a checksum."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        start = int(np.frombuffer(code, "<u8", 1, 0x28)[0])  # e_shoff
        count, names = (int(number) for number in np.frombuffer(code, "<u2", 2, 0x3C))  # e_shnum, e_shstrndx
        self._sections = np.frombuffer(code, _SECTION, count, start)
        self._names = [self._string(names, int(section["name"])) for section in self._sections]
        self._symbol_table = int(np.flatnonzero(self._sections["type"] == 2)[0])  # SHT_SYMTAB
        self._symbols = self._rows(self._symbol_table, _SYMBOL)

    def linked(self, entry: str) -> tuple[int, Any]:
        places, size = self._places()
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for index, place in places.items():
            section = self._sections[index]
            offset, length = int(section["offset"]), int(section["size"])
            memory[place : place + length] = self._code[offset : offset + length]
        for section in self._sections[self._sections["type"] == _RELA]:
            if int(section["info"]) in places:
                self._relocate(memory, start, places, section)
        _make_executable(start, size)
        for symbol in self._symbols:
            if self._symbol_name(symbol) == entry:
                return start + places[int(symbol["section"])] + int(symbol["value"]), memory
        raise CannotLink(entry)

    def _places(self) -> tuple[dict[int, int], int]:
        """Return where each section goes, and how much room all take; the first page stays zero."""
        places: dict[int, int] = {}
        end = _LARGEST_COMMON
        for index, section in enumerate(self._sections):
            flags = int(section["flags"])
            if not flags & _ALLOCATED or self._names[index] == _UNWINDING or not section["size"]:
                continue
            if flags & _WRITABLE:
                raise CannotLink(self._names[index])
            align = max(int(section["align"]), 1)
            places[index] = -(-end // align) * align
            end = places[index] + int(section["size"])
        return places, end

    def _relocate(self, memory: mmap.mmap, start: int, places: dict[int, int], section: Any) -> None:
        relocations = np.frombuffer(
            self._code, _RELOCATION, int(section["size"]) // _RELOCATION.itemsize, int(section["offset"])
        )
        if (relocations["type"] != _ABSOLUTE).any():
            raise CannotLink("relocation")
        place = places[int(section["info"])]
        for offset, _, number, addend in relocations.tolist():
            target = self._address(self._symbols[number], start, places) + addend
            memory[place + offset : place + offset + 8] = target.to_bytes(8, "little")

    def _address(self, symbol: Any, start: int, places: dict[int, int]) -> int:
        section = int(symbol["section"])
        if section == _UNDEFINED:
            return _address_in_c_library(self._symbol_name(symbol))
        if section == _COMMON and symbol["size"] <= _LARGEST_COMMON:
            return start  # Numba's "environment" of a function, for calls back into Python: none here
        if section == _NUMBER or section not in places:
            raise CannotLink(self._symbol_name(symbol))
        return start + places[section] + int(symbol["value"])

    def _symbol_name(self, symbol: Any) -> str:
        return self._string(int(self._sections[self._symbol_table]["link"]), int(symbol["name"]))

    def _string(self, table: int, at: int) -> str:
        start = int(self._sections[table]["offset"]) + at
        return self._code[start : self._code.index(b"\0", start)].decode()

    def _rows(self, index: int, of: np.dtype[Any]) -> Any:
        section = self._sections[index]
        return np.frombuffer(self._code, of, int(section["size"]) // of.itemsize, int(section["offset"]))


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _address_in_c_library(name: str) -> int:
    try:
        return ctypes.cast(getattr(_c_library(), name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise CannotLink(name) from None


def _make_executable(start: int, size: int) -> None:
    """Take the right to write away and give that to run: memory that has both is refused on hardened systems."""
    read_and_run = mmap.PROT_READ | mmap.PROT_EXEC
    if _c_library().mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), read_and_run) != 0:
        raise OSError(ctypes.get_errno(), "no executable memory for compiled kernels")


@cache
def _llvm() -> tuple[Any, Any]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm, llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _loaded_by_llvm(code: bytes, entry: str) -> tuple[int, Any]:
    llvm, engine = _llvm()
    file = llvm.ObjectFileRef.from_data(code)
    engine.add_object_file(file)
    engine.finalize_object()
    return int(engine.get_function_address(entry)), (engine, file)
