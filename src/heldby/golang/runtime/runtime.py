"""Finding the Go runtime of a process, stripped or not.

Order: function table -> `moduledata` -> release -> layout -> `mheap_` -> checks. `mheap_` lies in the
module's variables and is known by a word that points back at itself: ``mheap_.pages.mheapLock`` holds the address of
``mheap_.lock``, its first field (runtime/mheap.go; unique in every release from 1.21 to 1.27).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from heldby.errors import CheckFailed, NotCaptured, NotGoProcess, Unsupported
from heldby.golang.layouts.layout import KNOWN_RELEASES, Layout, is_newer, table_layout
from heldby.golang.runtime.module import AddressRange, Module, ModuleHead, find_module_heads, read_modules
from heldby.memory.image import ADDRESS_END, Image
from heldby.memory.paging_kernels import PageTable, build_page_table

_VERSION: Final = re.compile(rb"(?:go1\.\d+|devel go1\.\d+)[ -~]{0,100}")
_SPAN_CLASSES: Final = 136
# What an allocator of mheap_ is called after, where that is not the structure's name.
_ALLOCATED: Final = {"span": "mspan", "cache": "mcache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The Go runtime of one process.

    Attributes:
        image: the process's bytes, the executable's read-only parts included.
        pages: the same memory for compiled kernels (captured pages only).
        layout: offsets of this release.
        version: what the runtime calls itself, e.g. ``go1.27.3``.
        says_release: whether it does; otherwise the release was told by its structures.
        modules: the program first, then plugins.
        mheap: address of ``runtime.mheap_``.
        symbols: addresses by name, as far as the executable tells; empty when stripped.
    """

    image: Image
    pages: PageTable
    layout: Layout
    version: str
    modules: tuple[Module, ...]
    mheap: int
    symbols: Mapping[str, int]
    says_release: bool = True

    def mheap_word(self, *path: str) -> int:
        """Return a 64-bit field of ``mheap_``."""
        return self.image.u64(self.mheap + self.layout.offset("runtime.mheap", *path))


def find_runtime(
    image: Image,
    ranges: Sequence[AddressRange],
    *,
    arch: str,
    version: str | None = None,
    symbols: Mapping[str, int] | None = None,
    newer: Callable[[str], Layout] | None = None,
) -> Runtime:
    """Return the runtime of the process whose program is mapped at `ranges`.

    Args:
        image: bytes of the process; must hold the program's read-only data.
        ranges: address ranges of the program's mappings, its anonymous tail (bss) included.
        arch: ``amd64`` or ``arm64``.
        version: the release from the build information; searched for in memory when None.
        symbols: run-time addresses by name; a second witness only.
        newer: gives the layout of a release after the newest known one.

    Raises:
        NotGoProcess: there is no Go function table.
        Unsupported: a release without a layout.
        CheckFailed: what was found contradicts the runtime's invariants.
    """
    heads = find_module_heads(image, ranges)
    if not heads:
        raise NotGoProcess(
            "no Go function table was found in the program",
            cause="it is not a Go program, or it was built before Go 1.20",
            next_step="give the PID or core of a Go program",
        )
    failures: list[CheckFailed | Unsupported] = []
    for head in heads:
        release = version or find_version(image, head)
        try:
            if release is None:
                return _runtime_by_structures(image, head, arch, symbols or {})
            layout = newer(release) if newer and is_newer(release) else table_layout(release, arch)
            return _runtime_of(image, head, layout, release, symbols or {})
        except (CheckFailed, Unsupported) as error:
            failures.append(error)
    raise failures[0]


def _runtime_by_structures(image: Image, head: ModuleHead, arch: str, symbols: Mapping[str, int]) -> Runtime:
    """Return the runtime of a program that hides its release (garble does), by the layout that fits it.

    No two known releases agree in what is checked: `moduledata` of 1.26 and 1.27 differ in length, the others
    in the allocators that `mheap_` has.
    """
    for release in KNOWN_RELEASES:
        try:
            found = _runtime_of(image, head, table_layout(f"go{release}", arch), f"go{release}", symbols)
        except (CheckFailed, NotCaptured):
            continue
        return replace(found, says_release=False)
    raise Unsupported(
        "the program does not say which Go release built it, and its structures are those of none that is known",
        cause="no build information and no runtime.buildVersion were found",
        next_step="check that the core holds the program's data; see docs/adding-a-release.md",
    )


def _runtime_of(
    image: Image, head: ModuleHead, layout: Layout, version: str, symbols: Mapping[str, int]
) -> Runtime:
    modules = read_modules(image, layout, head.addr)
    mheap = _find_mheap(image, head, layout)
    runtime = Runtime(
        image=image,
        pages=build_page_table(image),
        layout=layout,
        version=version,
        modules=modules,
        mheap=mheap,
        symbols=symbols,
    )
    _check_mheap(runtime)
    return runtime


def find_version(image: Image, head: ModuleHead) -> str | None:
    """Return the release that the runtime names itself by, from the string ``runtime.buildVersion``.

    Garbled and ancient build information does not matter: the variable is a Go string in the program's data.
    None where it says something else.
    """
    low, high = head.writable_range
    data, _ = image.read_available(low, (high - low) & ~7)
    words = np.frombuffer(data, np.uint64)
    lengths = words[1:]
    plausible = (lengths >= 5) & (lengths < 128) & (words[:-1] >= 4096)
    for index in np.flatnonzero(plausible & (words[:-1] < np.uint64(ADDRESS_END))):
        try:
            text = image.read(int(words[index]), int(words[index + 1]))
        except NotCaptured:
            continue
        if _VERSION.fullmatch(text):
            return text.decode("ascii")
    return None


def _find_mheap(image: Image, head: ModuleHead, layout: Layout) -> int:
    self_reference = layout.offset("runtime.mheap", "pages", "mheapLock")
    low, high = head.writable_range
    data, missing = image.read_available(low, (high - low) & ~7)
    words = np.frombuffer(data, np.uint64)
    addrs = np.uint64(low) + np.arange(words.size, dtype=np.uint64) * np.uint64(8)
    found = words[words == addrs - np.uint64(self_reference)]
    found = found[found != 0]
    for mheap in found:
        if _span_classes_agree(image, layout, int(mheap)):
            return int(mheap)
    if missing:
        raise NotCaptured(
            low,
            what=f"part of the program's variables ({missing:,} bytes)",
            cause="the core is cut off or was written without private memory",
            next_step="take it again with heldby capture, or set coredump_filter to 0x33",
        )
    raise CheckFailed(
        "mheap_ self-reference",
        f"runtime.mheap_ was not found in {low:#x}-{high:#x} ({found.size} candidates)",
        cause=f"the layout of {layout.release} does not fit this program",
        next_step="see docs/adding-a-release.md",
    )


def _span_classes_agree(image: Image, layout: Layout, mheap: int) -> bool:
    """Check ``central[i].spanclass == i`` for all 136 entries; the stride depends on the cache line."""
    start = mheap + layout.offset("runtime.mheap", "central")
    # The entries are padded to the cache line, 64 bytes on amd64 and 128 on arm64; spanalloc comes next.
    stride = (layout.offset("runtime.mheap", "spanalloc") + mheap - start) // _SPAN_CLASSES
    at = layout.offset("runtime.mcentral", "spanclass")
    try:
        raw = image.read_array(start, stride * _SPAN_CLASSES)
    except NotCaptured:
        return False
    classes = raw.reshape(_SPAN_CLASSES, stride)[:, at]
    return bool((classes == np.arange(_SPAN_CLASSES)).all())


def _check_mheap(runtime: Runtime) -> None:
    """Compare the sizes of what the runtime's own allocators hand out with those of the layout."""
    layout = runtime.layout
    for field, struct in _allocated_structures(layout):
        recorded = runtime.mheap_word(field, "size")
        if recorded != layout.size(struct):
            raise CheckFailed(
                f"mheap_.{field}.size",
                f"the runtime's {struct.removeprefix('runtime.')} has {recorded} bytes, the layout of "
                f"{layout.release} says {layout.size(struct)}",
                cause=f"{runtime.version} was built with an experiment that moves fields, or is not what it says",
                next_step="report the output of `go version -m` on the program",
            )


def _allocated_structures(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield each allocator in `mheap_` with what it allocates: ``specialfinalizeralloc``, ``specialfinalizer``."""
    for field in layout.fields("runtime.mheap", "runtime.fixalloc"):
        name = field.removesuffix("alloc").removesuffix("Alloc")
        struct = f"runtime.{_ALLOCATED.get(name, name)}"
        if layout.has(struct):
            yield field, struct
