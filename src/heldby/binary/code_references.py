"""What the code says of the data: who refers to which address, and of which types unnamed globals are.

This is what names the globals of a stripped program. Function names survive stripping (pclntab), so a global
can be called by the functions that use it; and the code around runtime calls ties a global to a type
descriptor: ``LEAQ type:T(SB), AX; CALL runtime.newobject; MOVQ AX, x(SB)`` says that x is a ``*T``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.errors import FormatError, Unsupported
from heldby.memory.image import Bytes

_ROLES: Final[dict[str, int]] = {
    "newobject": cc.ROLE_NEW,
    "makemap_small": cc.ROLE_MAKE_SMALL,
    "mallocgc": cc.ROLE_ALLOCATE,
    **dict.fromkeys(("makemap", "makemap64", "makechan", "makechan64"), cc.ROLE_MAKE),
    **dict.fromkeys(("makeslice", "makeslice64", "makeslicecopy"), cc.ROLE_MAKE_SLICE),
    **dict.fromkeys(("growslice", "growsliceNoAlias"), cc.ROLE_GROW_SLICE),
    **dict.fromkeys(("typedmemmove", "wbMove"), cc.ROLE_MOVE),
    **dict.fromkeys(("typedmemclr", "wbZero"), cc.ROLE_CLEAR),
    "typedslicecopy": cc.ROLE_COPY_SLICE,
    **dict.fromkeys(("mapclear", "mapiterinit", "mapIterStart", "mapclone"), cc.ROLE_MAP),
}
_ROLE_PREFIXES: Final = (
    ("mapaccess", cc.ROLE_MAP),
    ("mapassign", cc.ROLE_MAP),
    ("mapdelete", cc.ROLE_MAP),
    ("gcWriteBarrier", cc.ROLE_BARRIER),
    ("mallocgcTiny", cc.ROLE_ALLOCATE),  # 1.27: one function per size class (runtime/malloc_generated.go)
    ("mallocgcSmall", cc.ROLE_ALLOCATE),
    ("mallocgcLarge", cc.ROLE_ALLOCATE),
)
_ATOMIC: Final = {f"sync/atomic.{verb}Pointer" for verb in ("Store", "Swap", "CompareAndSwap")}
_METHOD: Final = re.compile(r"(?P<package>(?:[^()]*/)?[^/()]+)\.\(\*(?P<type>[^()]+)\)\.[\w\u0080-\uffff]+")


@dataclass(frozen=True, slots=True)
class CodeReferences:
    """References from code to data, sorted by target and then by instruction.

    Attributes:
        targets: ``uint64[n]`` static addresses in the wanted range.
        instructions: ``uint64[n]`` static addresses of the instructions.
        is_store: ``bool[n]``, the instruction writes there.
        is_address: ``bool[n]``, it takes the address (LEA), so what it does with it is not known.
    """

    targets: NDArray[np.uint64]
    instructions: NDArray[np.uint64]
    is_store: NDArray[np.bool_]
    is_address: NDArray[np.bool_]

    def between(self, low: int, high: int) -> slice:
        """Return the slice of the references to addresses in ``[low, high)``."""
        first, last = np.searchsorted(self.targets, np.array([low, high], np.uint64))
        return slice(int(first), int(last))


@dataclass(frozen=True, slots=True)
class TypeEvidence:
    """What code says of the types of words of data, counted; sorted by address, most votes first.

    The relation says what the word at the address is, for a descriptor T:
    ``RELATION_IS`` a T (a map or channel), ``RELATION_POINTS_TO`` a ``*T`` (or, T being an array, a slice
    of its elements), ``RELATION_SLICE_OF`` the start of a ``[]T``, ``RELATION_HOLDS`` the start of a T by
    value; and for a method of ``*R`` (see `receiver_type_name`): ``RELATION_RECEIVER`` a ``*R``,
    ``RELATION_RECEIVER_ADDRESS`` the start of an R by value. What embeds an R at its beginning looks the
    same: prefer a larger type that has other votes.

    ``RELATION_CALL`` is about code, not data: at the address a function of ``ROLE_NEW``, ``ROLE_ALLOCATE``,
    ``ROLE_MAP`` or ``ROLE_GROW_SLICE`` is called with the descriptor of the value, of the map, or of the slice's
    elements; of the last two the subject is 0 where the type is known at run time only.

    Attributes:
        addresses: ``uint64[n]`` static addresses of data.
        relations: ``uint8[n]``, ``RELATION_*``.
        subjects: ``uint64[n]``, static address of the descriptor, or of the method.
        votes: ``int64[n]``, how many places in the code say so.
    """

    addresses: NDArray[np.uint64]
    relations: NDArray[np.uint8]
    subjects: NDArray[np.uint64]
    votes: NDArray[np.int64]

    def between(self, low: int, high: int) -> slice:
        """Return the slice of what is said of addresses in ``[low, high)``."""
        first, last = np.searchsorted(self.addresses, np.array([low, high], np.uint64))
        return slice(int(first), int(last))


@dataclass(frozen=True, slots=True)
class WordStores:
    """Stores of what may lie in the heap: not of nil, and not of the address of static data.

    Attributes:
        instructions: ``uint64[n]`` addresses of the instructions.
        places: ``int64[n]``: the id of a type and an offset in it, or the address of a variable and 0, packed as
            in `PointerWords`.
        relations: ``uint8[n]``, what is stored: a value of the type as a whole (``RELATION_IS``: a map or channel,
            or a struct that is copied there), a pointer to one, the start of a slice; 0 when not known.
        subjects: ``int64[n]``, id of that type.
    """

    instructions: NDArray[np.uint64]
    places: NDArray[np.int64]
    relations: NDArray[np.uint8]
    subjects: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CodeFunctions:
    """All functions, and what they say about types when they are called.

    Attributes:
        entries: ``int64[n]`` static entry addresses, ascending and distinct.
        roles: ``int64[n]``, ``ROLE_*``.
    """

    entries: NDArray[np.int64]
    roles: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """The outcome of `scan_code`; `undecoded_bytes` of the code were not understood."""

    references: CodeReferences
    evidence: TypeEvidence
    stores: WordStores
    functions: CodeFunctions
    undecoded_bytes: int


@dataclass(frozen=True, slots=True)
class PointerWords:
    """Where types and variables have pointers, and to what; ids of types are below 2**47.

    Attributes:
        places: ``int64[w]``, ascending and distinct: ``id << OFFSET_BITS | offset``, with `ELEMENT_WORD` as the
            offset for the elements of a map's type; ``address << OFFSET_BITS`` for a variable's word.
        kinds: ``int64[w]``: `UNKNOWN`, or ``RESULT_*``.
        values: ``int64[w]``: id of the type that it is, that it points to, or of the slice's elements.
        receivers: ``int64[functions]``, ids of the types whose methods have pointer receivers; 0 for others.
    """

    places: NDArray[np.int64]
    kinds: NDArray[np.int64]
    values: NDArray[np.int64]
    receivers: NDArray[np.int64]


def role_of(name: str) -> int:
    """Return what the function called `name` says about types (``ROLE_*``)."""
    if name.startswith("runtime."):
        bare = name[8:]
        role = _ROLES.get(bare, cc.ROLE_OTHER)
        if not role:
            role = next((r for prefix, r in _ROLE_PREFIXES if bare.startswith(prefix)), cc.ROLE_OTHER)
        if role:
            return role
    if name in _ATOMIC:
        return cc.ROLE_STORE_POINTER
    return cc.ROLE_METHOD if ".(*" in name and _METHOD.fullmatch(name) else cc.ROLE_OTHER


def receiver_type_name(method: str) -> str | None:
    """Return ``path/pkg.T`` for ``path/pkg.(*T).Method``, None for other functions and closures."""
    match = _METHOD.fullmatch(method) if ".(*" in method else None
    return f"{match['package']}.{match['type']}" if match else None


def code_functions(functions: Iterable[tuple[str, int]]) -> CodeFunctions:
    """Return what `scan_code` wants to know of all functions, given as ``(name, static entry)``.

    Linear in the functions, about 1 µs each.
    """
    roles: dict[int, int] = {}
    for name, entry in functions:
        roles[entry] = role_of(name) or roles.get(entry, cc.ROLE_OTHER)
    entries = np.array(sorted(roles), np.int64)
    return CodeFunctions(entries, np.array([roles[e] for e in entries.tolist()], np.int64))


_NO_NUMBERS: Final = np.empty(0, np.int64)
NO_WORDS: Final = PointerWords(_NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS)
NO_FUNCTIONS: Final = CodeFunctions(np.empty(0, np.int64), np.empty(0, np.int64))


def scan_code(
    code: Bytes,
    address: int,
    machine: str,
    data_range: tuple[int, int],
    functions: CodeFunctions = NO_FUNCTIONS,
    words: PointerWords = NO_WORDS,
) -> CodeFacts:
    """Decode `code` and return its references to data and what it says of types.

    Time is linear in the code, about 5 ns per byte and pass, three passes; 24 bytes of memory per reference.

    Args:
        code: ``uint8[n]``, Go's text.
        address: its static address.
        machine: ``amd64`` or ``arm64``.
        data_range: static bounds of what to look for: from noptrdata to the end of the bss.
        functions: from `code_functions`. Decoding starts afresh at each; without them there is no type
            evidence, and damage may cost a few references after it.
        words: pointers that are followed from type to type; without them only stores into variables are found.

    Raises:
        FormatError: the addresses cannot be.
        Unsupported: another machine.
    """
    if not all(0 <= value < 1 << 62 for value in (address, *data_range)):
        raise FormatError(
            f"code at {address:#x} with data in {data_range[0]:#x}..{data_range[1]:#x} lies out of bounds",
            cause="the program's headers are damaged",
            next_step="copy the program again",
        )
    from heldby.binary.flow_kernels import TypeFlow

    entries, roles = functions.entries, functions.roles
    bounds = np.array(data_range, np.int64)
    code = np.frombuffer(code.tobytes(), np.uint8)
    # A reference takes at least 6 bytes of code, a piece of evidence 5.
    references = np.empty((code.size // 5 + 8, 3), np.int64)
    evidence = np.empty((code.size // 4 + 8, 3), np.int64)
    results = np.zeros((entries.size, 2), np.int64)
    stores = np.empty((code.size // 4 + 8, 3), np.int64)
    state = np.zeros(2, np.int64)
    scan, registers, order, extra = _scanner(machine)
    arguments = _arguments(entries.size, words)
    for _ in range(cc.PASSES if entries.size else 1):
        learnt = np.zeros((entries.size, 2), np.int64)
        called = np.zeros_like(arguments)
        flow = TypeFlow(order, arguments, called, words.places, words.kinds, words.values, stores)
        state[1] = 0
        work = (
            *(np.zeros(registers, np.int64), np.zeros(registers, np.int64)),
            *(np.zeros((cc.JOINS, 1 + 2 * registers), np.int64), np.zeros((cc.SPILL_WORDS, 3), np.int64)),
        )
        found, told, bad = scan(
            *(code, address, entries, roles, results, learnt, state, flow),
            *(*extra, bounds, *work, references, evidence),
        )
        results, arguments = learnt, _with_receivers(called, words)
    return CodeFacts(
        _sorted(references[: int(found)]),
        _counted(evidence[: int(told)]),
        _stores(stores[: int(state[1])]),
        functions,
        int(bad),
    )


def _arguments(functions: int, words: PointerWords) -> NDArray[np.int64]:
    return _with_receivers(np.zeros((functions, cc.ARGUMENTS, 2), np.int64), words)


def _with_receivers(arguments: NDArray[np.int64], words: PointerWords) -> NDArray[np.int64]:
    """Return `arguments` with the receivers of methods, which their names tell, whatever calls tell."""
    rows = np.flatnonzero(words.receivers)
    arguments[rows, 0, 0] = cc.RESULT_POINTS_TO
    arguments[rows, 0, 1] = words.receivers[rows]
    return arguments


def _stores(rows: NDArray[np.int64]) -> WordStores:
    kinds = rows[:, 2] & 15
    relations = np.where(kinds != 0, kinds - cc.RESULT_IS + cc.RELATION_IS, 0)
    return WordStores(
        rows[:, 0].astype(np.uint64), rows[:, 1].copy(), relations.astype(np.uint8), rows[:, 2] >> 4
    )


_Scanner = tuple[Callable[..., tuple[int, int, int]], int, NDArray[np.int64], tuple[NDArray[Any], ...]]


def _scanner(machine: str) -> _Scanner:
    """Return the kernel of a machine, its number of registers, those of arguments, and what else it wants.

    The registers are those of Go's internal ABI (src/cmd/compile/abi-internal.md), the last one a closure's.
    """
    if machine == "amd64":
        from heldby.binary.amd64_code_kernels import scan_amd64
        from heldby.binary.amd64_opcodes import immediate_sizes, opcode_table

        order = np.array([0, 3, 1, 7, 6, 8, 9, 10, 11, 2], np.int64)  # AX BX CX DI SI R8 R9 R10 R11, DX
        return scan_amd64, 16, order, (opcode_table(), immediate_sizes(), np.zeros(16, np.int64))
    if machine == "arm64":
        from heldby.binary.arm64_code_kernels import scan_arm64

        return scan_arm64, 32, np.array([*range(9), 26], np.int64), ()
    raise Unsupported(
        f"code for {machine} cannot be scanned",
        cause="only amd64 and arm64 are read",
        next_step="use a program built for linux/amd64 or linux/arm64",
    )


def _sorted(rows: NDArray[np.int64]) -> CodeReferences:
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return CodeReferences(
        rows[:, 0].astype(np.uint64),
        rows[:, 1].astype(np.uint64),
        rows[:, 2] & cc.STORE != 0,
        rows[:, 2] & cc.ADDRESS_TAKEN != 0,
    )


def _counted(rows: NDArray[np.int64]) -> TypeEvidence:
    distinct, votes = np.unique(rows, axis=0, return_counts=True)
    order = np.lexsort((-votes, distinct[:, 0]))
    distinct, votes = distinct[order], votes[order]
    return TypeEvidence(
        distinct[:, 0].astype(np.uint64),
        distinct[:, 1].astype(np.uint8),
        distinct[:, 2].astype(np.uint64),
        votes.astype(np.int64),
    )
