"""What must hold before a release without a built-in layout is believed.

Such a release is read by the DWARF of the very program. What heldby reads by name then has the right offsets; what
it knows beyond names (formats that every release from 1.21 to 1.27 shares) is compared with the DWARF here, and what
was read is compared with the runtime's own numbers. A check that fails is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from heldby.errors import CheckFailed, Unsupported
from heldby.golang.goroutines.stacks import Outcome, Stacks
from heldby.golang.layouts.layout import KNOWN_RELEASES, Layout
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.typing.typing_arrays import SIZE_CLASSES

#: Offsets that are not looked up by name, because they were the same in every release: file, structure, fields.
FIXED_OFFSETS: Final = (
    (
        "runtime/symtab.go",
        "runtime.moduledata",
        {
            "pcHeader": 0,
            "funcnametab": 8,
            "ftab": 128,
            "minpc": 160,
            "maxpc": 168,
            "text": 176,
            "etext": 184,
            "noptrdata": 192,
            "end": 272,
        },
    ),
    (
        "runtime/symtab.go",
        "runtime.pcHeader",
        {"magic": 0, "nfunc": 8, "funcnameOffset": 32, "pclnOffset": 64},
    ),
    (
        "runtime/runtime2.go",
        "runtime._func",
        {
            "entryOff": 0,
            "nameOff": 4,
            "args": 8,
            "deferreturn": 12,
            "pcsp": 16,
            "pcfile": 20,
            "pcln": 24,
            "npcdata": 28,
            "cuOffset": 32,
            "startLine": 36,
            "funcID": 40,
            "flag": 41,
            "nfuncdata": 43,
        },
    ),
    ("runtime/symtab.go", "runtime.stackmap", {"n": 0, "nbit": 4, "bytedata": 8}),
    (
        "runtime/stkframe.go",
        "runtime.stackObjectRecord",
        {"off": 0, "size": 4, "gcdataoff": 12},
    ),
    ("runtime/mheap.go", "runtime.special", {"next": 0, "offset": 8}),
    (
        "internal/abi/type.go",
        "internal/abi.Type",
        {"Size_": 0, "PtrBytes": 8, "Hash": 16, "TFlag": 20, "Kind_": 23, "GCData": 32, "Str": 40},
    ),
    ("internal/abi/type.go", "internal/abi.PtrType", {"Elem": 48}),
    ("internal/abi/type.go", "internal/abi.ArrayType", {"Elem": 48, "Len": 64}),
    ("internal/abi/type.go", "internal/abi.StructType", {"Fields": 56}),
    ("internal/abi/type.go", "internal/abi.StructField", {"Name": 0, "Typ": 8, "Offset": 16}),
    ("internal/abi/type.go", "internal/abi.InterfaceType", {"Methods": 56}),
    ("internal/abi/iface.go", "internal/abi.ITab", {"Inter": 0, "Type": 8, "Hash": 16}),
)
#: The same for numbers; a constant that a release does not have is no contradiction.
FIXED_CONSTANTS: Final = {
    "runtime._PageSize": 8192,
    "runtime.heapArenaBytes": 1 << 26,
    "runtime.mallocHeaderSize": 8,
    "runtime.minSizeForMallocHeader": 512,
    "runtime.maxTinySize": 16,
    "runtime.tinySizeClass": 2,
    "internal/abi.TFlagUncommon": 1,
    "internal/abi.TFlagExtraStar": 2,
    "internal/abi.TFlagNamed": 4,
}
# A thread that is stopped in the allocator may be at odds with itself.
_MOST_DOUBTFUL_SPANS: Final = 64
_LEAST_WHOLE_STACKS: Final = 0.99


def check_layout(layout: Layout) -> None:
    """Compare a layout from debug information with what heldby takes for granted.

    Raises:
        CheckFailed: named after the structure and field, or the constant, that is another one.
    """
    for source, struct, fields in FIXED_OFFSETS:
        for field, expected in fields.items():
            found = layout.offset(struct, field)
            if found != expected:
                raise _failed(
                    layout, f"{struct}.{field}", f"lies at offset {found}, {expected} was expected ({source})"
                )
    for name, expected in FIXED_CONSTANTS.items():
        found = layout.const(name, expected)
        if found != expected:
            raise _failed(layout, name, f"is {found}, {expected} was expected")


def check_heap(layout: Layout, objects: ObjectTable, references: References, stacks: Stacks) -> None:
    """Compare what was read with the runtime's own numbers.

    Raises:
        CheckFailed: named after what contradicts them.
    """
    for name, contradiction in _contradictions(objects, references, stacks):
        raise _failed(layout, name, contradiction)


def _contradictions(
    objects: ObjectTable, references: References, stacks: Stacks
) -> Iterator[tuple[str, str]]:
    spans = objects.spans
    sizes = np.array([0, *SIZE_CLASSES], np.uint64)[spans.spanclass >> 1]
    other = int((~spans.large & (spans.elemsize != sizes)).sum())
    if other:
        yield "size classes", f"are others: {other:,} spans have slots of a size that no class has"
    doubtful = objects.count_mismatches + spans.dropped
    if doubtful > _MOST_DOUBTFUL_SPANS:
        yield "allocation counts", f"differ: {doubtful:,} spans count other objects than their bits say"
    if references.unreadable_types:
        number = references.unreadable_types
        yield "types of large objects", f"are not where they were: {number:,} objects name no type"
    if not stacks.outcome.size:
        yield "goroutines", "are not where they were: runtime.allgs was not found"
    stacked = stacks.outcome != Outcome.NO_STACK
    whole = int((stacks.outcome[stacked] == Outcome.WHOLE).sum())
    if whole < _LEAST_WHOLE_STACKS * stacked.sum() - 1:
        yield (
            "goroutine stacks",
            f"cannot be followed: {whole:,} of {int(stacked.sum()):,} end where they must",
        )


def caveat(version: str) -> str:
    """Return what a reader of an unknown release must know."""
    return (
        f"{version} is newer than this heldby, which knows Go {KNOWN_RELEASES[-1]} to {KNOWN_RELEASES[0]}: it was "
        "read by the program's own debug information, and all checks passed"
    )


def without_debug_information(version: str, arch: str) -> Unsupported:
    """Return the error for an unknown release whose program cannot describe it."""
    return Unsupported(
        f"{version} on {arch} is newer than this heldby, which knows Go {KNOWN_RELEASES[-1]} to {KNOWN_RELEASES[0]}",
        cause="a newer release is read by the program's debug information, and this program has none",
        next_step="install a newer heldby, or build the program without -ldflags=-w; see docs/adding-a-release.md",
    )


def _failed(layout: Layout, name: str, what: str) -> CheckFailed:
    return CheckFailed(
        name,
        f"check {name!r} failed: {name} {what}",
        cause=f"Go {layout.release} is newer than this heldby and keeps this in another way",
        next_step="install a newer heldby; see docs/adding-a-release.md",
    )
