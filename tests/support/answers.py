"""A hand-made `Answer`, the story of the README, for the tests of the front ends."""

from __future__ import annotations

from heldby.analysis.answer import (
    Answer,
    CaptureFacts,
    Finding,
    Frame,
    HeapTotals,
    Held,
    Holder,
    KeptIn,
    ProcessFacts,
    RssAccount,
    RssRow,
    Site,
    StoredBy,
)

MIB = 1 << 20


def story() -> Answer:
    """Return the answer for a payments worker that never forgets a baseline."""
    return Answer(
        capture=CaptureFacts(
            method="fork", pause_ms=41.2, seconds=0.93, captured_bytes=2100 * MIB, time=1.8e9
        ),
        process=ProcessFacts(
            pid=4242,
            go_version="go1.27.3",
            arch="amd64",
            exe="/opt/payments/payments-worker",
            build_id="5eb1c0ffee",
            stripped=False,
            rss_bytes=2365 * MIB,
            name="payments-worker",
            uptime_seconds=259_200.0,
            threads=11,
            goroutines=412,
        ),
        heap=HeapTotals(
            objects=31_000_000,
            object_bytes=1669 * MIB,
            live_objects=19_400_000,
            live_bytes=1044 * MIB,
            garbage_objects=11_600_000,
            garbage_bytes=625 * MIB,
            typed_bytes=1042 * MIB,
            marked_objects=None,
            marked_bytes=None,
            free_slot_bytes=184 * MIB,
            unreadable_objects=0,
        ),
        rss=RssAccount(
            total_bytes=2365 * MIB,
            rows=(
                RssRow(name="live objects", bytes=1044 * MIB),
                RssRow(
                    name="garbage, not swept",
                    bytes=625 * MIB,
                    note="freed at the next collection (GOGC=100, goal 2.04 GiB)",
                ),
                RssRow(name="free inside spans", bytes=184 * MIB, note="fragmentation"),
                RssRow(name="the rest", bytes=500 * MIB),
            ),
            unexplained_bytes=12 * MIB,
            verdict="2.31 GiB: 1.02 GiB live; 625 MiB is garbage that the next collection frees; "
            "nothing leaks outside the heap.",
            cause="live",
        ),
        holders=(
            Holder(
                path="main.manager.paths[*].Seen[*]",
                root="main.manager",
                root_kind="global",
                type="string",
                retained_bytes=908 * MIB,
                retained_objects=9_200_000,
                share=908 / 1044,
                containers=("map of 51,203 entries in *main.Baseline",),
                objects_at_end=9_100_000,
                kept_in=(
                    KeptIn(
                        path="main.manager.paths[*].Seen[*]", container="slice", type="[]string", field="Seen"
                    ),
                ),
                stored_by=(
                    StoredBy(
                        place="main.manager.paths[*].Seen[*]",
                        func="main.(*Baseline).Add",
                        file="/home/ci/payments/baseline.go",
                        line=47,
                        statement="b.Seen = append(b.Seen, sample.ID)",
                        certainty="likely",
                        evidence="the only statement found that appends to a []string",
                    ),
                ),
            ),
            Holder(
                path="main.hub.subs[*].pending",
                root="main.hub",
                root_kind="global",
                type="[]byte",
                retained_bytes=43 * MIB,
                retained_objects=88_000,
                share=43 / 1044,
            ),
            Holder(
                path="server.Server.gacc.js.streams[*].store.msgs[*]",
                root="*server.Server",
                root_kind="object",
                type="[]byte",
                held_by=("412 goroutines in server.(*Server).AcceptLoop", "global main.s", "3 timers"),
                retained_bytes=42 * MIB,
                retained_objects=100_000,
                share=42 / 1044,
            ),
            Holder(
                path="bss+0x1f40",
                root="bss+0x1f40",
                root_kind="global",
                type="*main.Entry",
                retained_bytes=31 * MIB,
                retained_objects=7_000,
                share=31 / 1044,
                used_by=("main.(*Baseline).Add", "main.main"),
            ),
            Holder(
                path="runtime",
                root="runtime",
                root_kind="runtime",
                retained_bytes=20 * MIB,
                retained_objects=None,
                share=20 / 1044,
            ),
        ),
        sites=(
            Site(
                stack=(
                    Frame(func="runtime.rawstring", file="/go/src/runtime/string.go", line=300),
                    Frame(
                        func="encoding/json.(*decodeState).literalStore",
                        file="/go/src/encoding/json/decode.go",
                        line=1004,
                    ),
                ),
                live_bytes=860 * MIB,
                live_objects=9_000_000,
            ),
            Site(stack=(Frame(func="main.(*Baseline).Add"),), live_bytes=40 * MIB, live_objects=None),
        ),
        held=(
            Held(site=0, holder=0, bytes=860 * MIB, samples=1720),
            Held(site=1, holder=0, bytes=40 * MIB, samples=80),
        ),
        findings=(
            Finding(
                rule="let-go",
                title="Keep less in main.manager.paths[*].Seen[*]",
                holder="main.manager.paths[*].Seen[*]",
                evidence={"type": "string", "objects": 9_100_000, "container": "slice", "shared": False},
                saving_bytes=908 * MIB,
            ),
        ),
        caveats=("allocation sites are sampled: one in 512 KiB",),
    )
