"""The answer to the three questions, as plain values: what the JSON of schema 1 holds, field for field.

The order of the fields is the order in the JSON. Sizes are in bytes, counts are objects, all `int`; a fact
that is absent, unreadable or does not apply is None, never 0. Fields may be added within a schema number,
never renamed. Texts come from the target and are not escaped here: front ends do that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SCHEMA: Final = 1
EVERYTHING_ELSE: Final = "everything else"
"""The path of the last holder: the live bytes of all paths that are too small for a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFacts:
    """How the bytes were taken.

    Attributes:
        method: ``fork``, ``stop``, ``core`` (a foreign core) or ``heapdump``.
        pause_ms: how long the target stood still, measured.
        seconds: from the first look at the target to the last byte.
        captured_bytes: bytes of memory in the capture.
        time: when the target was paused, seconds since 1970.
    """

    method: str
    pause_ms: float | None = None
    seconds: float | None = None
    captured_bytes: int | None = None
    time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """Which process it was; `name` is the executable's base name, `uptime_seconds` its age at the pause."""

    pid: int | None = None
    go_version: str | None = None
    arch: str | None = None
    exe: str | None = None
    build_id: str | None = None
    stripped: bool | None = None
    rss_bytes: int | None = None
    name: str | None = None
    uptime_seconds: float | None = None
    threads: int | None = None
    goroutines: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeapTotals:
    """The heap in numbers.

    Attributes:
        objects: allocated slots, live and garbage; `object_bytes` are their slots' sizes.
        typed_bytes: live bytes whose Go type is known.
        marked_objects: what the collector itself marked in its last cycle; None while no cycle is whole.
        free_slot_bytes: slots that are not allocated, inside spans that are in use.
        unreadable_objects: objects whose bytes are not in the capture; their references are unknown.
    """

    objects: int | None = None
    object_bytes: int | None = None
    live_objects: int | None = None
    live_bytes: int | None = None
    garbage_objects: int | None = None
    garbage_bytes: int | None = None
    typed_bytes: int | None = None
    marked_objects: int | None = None
    marked_bytes: int | None = None
    free_slot_bytes: int | None = None
    unreadable_objects: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RssPart:
    """A share of a row: a size class, a type, a mapped file; `count` is of slots, objects or mappings."""

    name: str
    bytes: int
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RssRow:
    """A share of the process's memory.

    Attributes:
        bytes: resident; None when that is not known.
        note: in plain words what it is or what frees it.
        virtual_bytes: address space that it takes, resident or not.
        swapped_bytes: what of it lies in swap, and so not in `bytes`.
        group: ``heap``, ``stacks``, ``runtime``, ``program``, ``outside`` (C, files, other mappings).
        source: where it was read.
        remedy: whether and how it can be had back.
        parts: what it consists of, largest first; they may be only the largest.
    """

    name: str
    bytes: int | None
    note: str | None = None
    virtual_bytes: int | None = None
    swapped_bytes: int | None = None
    group: str | None = None
    source: str | None = None
    remedy: str | None = None
    parts: tuple[RssPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorFacts:
    """How the collector is set and where it stands.

    Attributes:
        gogc: percent; None with `gogc_off` False means unknown.
        memory_limit_bytes: GOMEMLIMIT, None for no limit.
        goal_bytes: the heap size that the collector aims at.
        marked_bytes: what the last collection reached.
        heap_bytes: reached then or allocated since.
        cpu_share: of the CPU time available to the program since its start, 0 to 1.
        seconds_since_last: from the end of the last collection to the pause.
    """

    gogc: int | None = None
    gogc_off: bool = False
    memory_limit_bytes: int | None = None
    goal_bytes: int | None = None
    marked_bytes: int | None = None
    heap_bytes: int | None = None
    cycles: int | None = None
    forced_cycles: int | None = None
    cpu_share: float | None = None
    seconds_since_last: float | None = None
    pause_total_seconds: float | None = None
    longest_recent_pause_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What another setting would give, by the pacer's own formula and today's live heap.

    Attributes:
        setting: ``GOGC=50``, ``GOMEMLIMIT=1843MiB``.
        goal_bytes: the heap size it lets the collector aim at.
        saving_bytes: how much lower the peak is than today's; negative when it is higher.
        collections: how often it would collect, times today's rate; None when unknown.
        note: the cost, or why it does not fit.
    """

    setting: str
    goal_bytes: int
    saving_bytes: int
    collections: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RssAccount:
    """The waterfall: the rows and `unexplained_bytes` add up to `total_bytes`.

    Attributes:
        verdict: one sentence: a leak or not, and what it is that takes the memory, with the number.
        cause: the verdict in a word: ``live``, ``garbage``, ``headroom``, ``fragmentation``, ``not returned``,
            ``given back``, ``finalizers``, ``stacks``, ``C``, ``threads``, ``files``, ``anonymous``,
            ``runtime``, ``program``, ``unknown``.
        beyond: what is charged or used beside RSS: swap, and what the cgroup counts more.
        limit_bytes: of the cgroup, None for no limit.
        settings: what other settings of the collector would give.
    """

    total_bytes: int | None = None
    rows: tuple[RssRow, ...] = ()
    unexplained_bytes: int | None = None
    verdict: str | None = None
    cause: str | None = None
    beyond: tuple[RssRow, ...] = ()
    limit_bytes: int | None = None
    collector: CollectorFacts | None = None
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptIn:
    """A container, or a plain field or variable, on the way to what is held.

    Attributes:
        path: up to it, ``main.manager.paths[*].Seen[*]``.
        container: ``map``, ``slice``, ``channel``, ``list`` or ``sync map``; ``field`` for what keeps one
            thing only: a pointer, a string, an interface.
        type: its Go type.
        owner: the struct type that has it as a field; None for a variable or when unknown.
        package: import path of the package of `owner`, or of the variable.
        field: name of the field or variable.
    """

    path: str
    container: str
    type: str | None = None
    owner: str | None = None
    package: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBy:
    """A statement that stores into the container nearest to what is held.

    Attributes:
        place: the path of that container, as in `KeptIn`.
        func: the function whose source the statement is part of.
        statement: its text, where the source was found and agrees; None otherwise.
        certainty: ``certain``, ``likely`` or ``possible``.
        evidence: why, in plain words.
    """

    place: str
    func: str
    file: str | None = None
    line: int | None = None
    statement: str | None = None
    certainty: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAlternative:
    """The same data as texts.

    Attributes:
        path: whose elements become texts.
        units: how many texts that would be.
        every: 1 when every value was measured, n when every n-th was.
        current_bytes, current_objects: the containers and all that their elements alone keep.
        kept_bytes, kept_objects: the container itself and its keys, which stay, with room for the texts' headers.
        json_bytes: the texts, as encoding/json's Marshal returns them.
        full_json_bytes: the same with the fields that encoding/json leaves out; equal where there are none.
        json_total_bytes: what would be held instead of `current_bytes`, slots and container included, from
            `full_json_bytes`; `packed_total_bytes` likewise.
        packed_bytes: the packed form.
        objects: what the collector would mark instead of `current_objects`.
        text_bytes: of `packed_bytes`, what is text and bytes already.
        inexact_share: of the values, those that the figures say only in part.
        left_out: what the figures do not say, in plain words.
    """

    path: str
    units: int
    every: int
    current_bytes: int
    current_objects: int
    kept_bytes: int
    kept_objects: int
    json_bytes: int
    full_json_bytes: int
    json_total_bytes: int
    packed_bytes: int
    packed_total_bytes: int
    objects: int
    text_bytes: int
    inexact_share: float
    left_out: tuple[str, ...] = ()

    @property
    def saving_bytes(self) -> int:
        """What JSON texts would save; negative where they would take more."""
        return self.current_bytes - self.json_total_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a holder's bytes are spent on, and what its data would take in another form.

    Attributes:
        objects, bytes: of the holder's row.
        causes: bytes by cause, in the order of `small_objects.costs.CAUSE_NAMES`; together they are `bytes`.
        scanned_objects: objects with pointers, which the collector must look into in each cycle.
        scanned_words: words in them that it looks at.
        texts: the data as texts; None where it was not measured, and `why_no_texts` says why.
    """

    objects: int
    bytes: int
    causes: Mapping[str, int]
    scanned_objects: int
    scanned_words: int
    texts: TextAlternative | None = None
    why_no_texts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who keeps a part of the live heap; every live byte belongs to exactly one holder.

    Attributes:
        path: the signature, ``main.manager.paths[*].Seen[*]``.
        root_kind: ``global``, ``goroutine``, ``special``, ``runtime`` or ``object`` (many roots hold it and
            none dominates: `root` is then its type and `held_by` says who they are).
        type: the Go type of what piles up at the end of the path; None when unknown.
        share: of the live bytes, 0 to 1.
        containers: the containers on the path, ``map of 51,203 entries in *main.Baseline``.
        used_by: functions whose code refers to the root; for globals without a name.
        evidence: other facts worth a line.
        cost: what its bytes are spent on; None below the rows that get details.
        objects_at_end: how many objects of `type` lie at the end of the path.
        title: what people call it, where `path` leads to the runtime's own records of goroutines; None for all else.
        kept_in: the containers on the way, nearest first, then the plain fields and variables likewise. A field
            of a list made by hand, whose elements lead to each other, is among the containers.
        stored_by: the statements that store into the nearest of them that any are known of.
    """

    path: str
    root: str
    root_kind: str
    type: str | None = None
    held_by: tuple[str, ...] = ()
    retained_bytes: int
    retained_objects: int | None = None
    share: float | None = None
    containers: tuple[str, ...] = ()
    used_by: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    cost: Cost | None = None
    objects_at_end: int | None = None
    title: str | None = None
    kept_in: tuple[KeptIn, ...] = ()
    stored_by: tuple[StoredBy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One call of an allocation stack."""

    func: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFacts:
    """Whether the process samples its allocations, so that sites are known.

    Attributes:
        state: ``on``; ``off`` (the rate is 0); ``dropped`` (by the linker, nothing reads the profile); ``unknown``.
        rate_bytes: ``runtime.MemProfileRate``: one sample for so many allocated bytes on average.
        live_samples, garbage_samples: sampled objects that exist.
        reason, next_step: why sites are not known, and how to have them.
    """

    state: str
    rate_bytes: int | None = None
    live_samples: int | None = None
    garbage_samples: int | None = None
    reason: str | None = None
    next_step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An allocation site of the runtime's memory profile; the stack is leaf first, as pprof shows it.

    Bytes and objects are estimates from samples; the truth lies between ``_low`` and ``_high`` in 95 of 100
    cases.
    """

    stack: tuple[Frame, ...]
    live_bytes: int | None = None
    live_objects: int | None = None
    live_bytes_low: int | None = None
    live_bytes_high: int | None = None
    live_samples: int | None = None
    garbage_bytes: int | None = None
    garbage_samples: int | None = None

    @property
    def leaf(self) -> Frame | None:
        """The first call that is not the runtime's, else the first."""
        own = (frame for frame in self.stack if not frame.func.startswith(("runtime.", "internal/runtime/")))
        return next(own, self.stack[0] if self.stack else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What `sites[site]` allocated and ``holders[holder]`` keeps, estimated from `samples` samples."""

    site: int
    holder: int
    bytes: int
    samples: int
    bytes_low: int | None = None
    bytes_high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One piece of advice with its measured saving; `holder` is a `Holder.path`."""

    rule: str
    title: str
    holder: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    saving_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All of it. Holders are sorted by retained bytes, largest first; `EVERYTHING_ELSE` is the last."""

    capture: CaptureFacts
    process: ProcessFacts
    heap: HeapTotals
    rss: RssAccount = field(default_factory=RssAccount)
    holders: tuple[Holder, ...] = ()
    profile: ProfileFacts | None = None
    sites: tuple[Site, ...] = ()
    held: tuple[Held, ...] = ()
    findings: tuple[Finding, ...] = ()
    caveats: tuple[str, ...] = ()
