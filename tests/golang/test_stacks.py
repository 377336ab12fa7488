"""Stacks of real programs: every way in which a goroutine keeps an object, and ways in which it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heldby.capture.process import capture_process
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines.executing import find_executing
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.golang.goroutines.stacks import Outcome, RootKind, read_stacks
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.loading import load_heap
from heldby.memory.image import Image
from heldby.memory.paging_kernels import build_page_table
from tests.support.build import MODES, Mode, build
from tests.support.process import running
from tests.support.stacks import PROGRAMS, Snapshot, run_and_snapshot, snapshot
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

LOCAL, ARGUMENT, STACK_OBJECT = RootKind.LOCAL, RootKind.ARGUMENT, RootKind.STACK_OBJECT

# What keeps each object: the function that must hold it, and how.
HELD = {
    "local": ("main.holdLocal", LOCAL),
    "argument": ("main.takeTenth", ARGUMENT),
    "stack object": ("main.holdStackObject", STACK_OBJECT),
    "open-coded defer": ("main.holdDefer", STACK_OBJECT),
    "method value": ("main.holdMethodValue", LOCAL),
    "deep": ("main.recurse", ARGUMENT),
    "panicking": ("main.holdPanicking.func1", LOCAL),
    "panic value": ("runtime.gopanic", LOCAL),
    "fault": ("main.holdFault", LOCAL),
    "reflect argument": ("reflect.methodValueCall", STACK_OBJECT),
    "reflect receiver": ("reflect.callMethod", LOCAL),
    "reflect.MakeFunc": ("reflect.makeFuncStub", STACK_OBJECT),
    "select": ("main.holdSelect", LOCAL),
    "mutex": ("main.holdMutex", LOCAL),
    "sleep": ("main.holdSleep", LOCAL),
    "read": ("main.holdRead", LOCAL),
    "accept": ("main.holdAccept", LOCAL),
    "locked thread": ("main.holdLocked", LOCAL),
}

NO_PREEMPTION = {"GODEBUG": "asyncpreemptoff=1"}

WAITS = {
    "main.holdLocal": "chan receive",
    "main.holdSelect": "select",
    "main.holdMutex": "sync.Mutex.Lock",
    "main.holdSleep": "sleep",
    "main.holdAccept": "IO wait",
}


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: mode.name.lower())
def parked(go: Toolchain, request: pytest.FixtureRequest) -> Snapshot:
    return run_and_snapshot(build(PROGRAMS / "stacks", go, request.param))


@pytest.fixture(scope="module")
def simple(go: Toolchain) -> Snapshot:
    return run_and_snapshot(build(PROGRAMS / "stacks", go, Mode.STRIPPED))


def test_every_goroutine_unwinds_to_its_end(parked: Snapshot) -> None:
    assert parked.stacks.unknowns == {}
    assert set(parked.stacks.outcome.tolist()) <= {Outcome.WHOLE, Outcome.NO_STACK}
    alive = np.flatnonzero(parked.stacks.outcome == Outcome.WHOLE)
    assert len(alive) >= 20
    assert {parked.functions_of(int(g))[-1] for g in alive} == {"runtime.goexit"}


@pytest.mark.parametrize("name", HELD)
def test_an_object_is_a_root_of_the_goroutine_and_function_that_holds_it(parked: Snapshot, name: str) -> None:
    function, kind = HELD[name]
    goroutines = set(parked.with_function(function))

    found = parked.roots_to(name)

    assert (function, kind) in {(at, how) for _, at, how in found}
    assert {goroutine for goroutine, _, _ in found} <= goroutines


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [Mode.UNOPTIMISED, Mode.POSITION_INDEPENDENT], ids=lambda mode: mode.name.lower()
)
def test_other_builds_hold_the_same_objects(go: Toolchain, mode: Mode) -> None:
    found = run_and_snapshot(build(PROGRAMS / "stacks", go, mode))

    assert found.stacks.unknowns == {}
    for name, (function, _) in HELD.items():
        holders = {goroutine for goroutine, _, _ in found.roots_to(name)}
        assert holders, name
        assert holders <= set(found.with_function(function)), name
    dead = [name for name in found.addresses if name.startswith("dead")]
    assert [name for name in dead if found.roots_to(name)] == []


def test_a_parked_goroutine_holds_nothing_conservatively(parked: Snapshot) -> None:
    # One that a loaded machine had not let park yet is no parked goroutine.
    roots, ran = parked.stacks.roots, parked.stacks.executing.goroutine
    kinds = set(roots.kind[~np.isin(roots.goroutine, ran)].tolist())

    assert len(ran) <= 2
    assert kinds <= {LOCAL, ARGUMENT, STACK_OBJECT, RootKind.DEFER, RootKind.PANIC, RootKind.CONTEXT}


def test_no_object_is_a_root_of_another_goroutine_than_its_own(parked: Snapshot) -> None:
    owners = {name: {goroutine for goroutine, _, _ in parked.roots_to(name)} for name in parked.addresses}

    assert {name for name, goroutines in owners.items() if len(goroutines) > 1} == set()


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("dead local", "main.dropLocal"),
        ("dead stack object", "main.holdStackObject"),
        ("dead by fault", "main.fault"),
    ],
)
def test_a_dead_variable_is_no_root_although_its_pointer_lies_on_the_stack(
    parked: Snapshot, name: str, function: str
) -> None:
    assert parked.addresses[name] in parked.stack_words(parked.only(function))
    assert parked.roots_to(name) == set()


def test_defers_made_in_a_loop_hold_their_closures(parked: Snapshot) -> None:
    closures = parked.values(parked.only("main.holdLoopDefers"), RootKind.DEFER)

    # A closure is its function's address and what it captured.
    captured = {parked.runtime.image.u64(closure + 8) for closure in closures}
    assert {parked.addresses["loop defer 0"], parked.addresses["loop defer 1"]} <= captured


def test_a_generic_function_holds_its_argument(parked: Snapshot) -> None:
    ((_, function, kind),) = parked.roots_to("generic")

    assert function.startswith("main.hold[go.shape.struct {")
    # Where it is kept during the call is the compiler's choice: up to 1.21 in a slot of its own.
    assert kind == (LOCAL if parked.runtime.version.startswith("go1.21") else ARGUMENT)


def test_deep_recursion_is_unwound_frame_by_frame(parked: Snapshot) -> None:
    functions = parked.functions_of(parked.only("main.holdDeep"))

    assert functions.count("main.recurse") == 5001


def test_a_goroutine_says_why_it_waits(parked: Snapshot) -> None:
    reasons = parked.runtime.layout.wait_reasons
    found = {
        function: reasons[int(parked.goroutines.wait_reason[parked.only(function)])] for function in WAITS
    }

    assert found == WAITS


def test_a_goroutine_in_a_system_call_is_unwound_from_where_it_entered(parked: Snapshot) -> None:
    goroutine = parked.only("main.holdRead")

    assert parked.goroutines.status[goroutine] == parked.runtime.layout.const("runtime._Gsyscall")
    assert parked.functions_of(goroutine)[0] == "syscall.Syscall"


def test_a_goroutine_knows_its_parent_and_its_go_statement(parked: Snapshot) -> None:
    goroutine = parked.only("main.holdLocal")
    source = (PROGRAMS / "stacks" / "main.go").read_text().splitlines()

    assert parked.goroutines.parent_goid[goroutine] == 1
    file, line = parked.functions.file_line(int(parked.goroutines.go_pc[goroutine]) - 1)
    assert file.endswith("stacks/main.go")
    assert source[line - 1].strip() == "go start()"
    start = parked.functions.index(int(parked.goroutines.start_pc[goroutine]))
    assert parked.functions.name(start) == "main.holdLocal"


def test_frames_show_inlined_calls_and_the_line_of_the_call(parked: Snapshot) -> None:
    goroutine = parked.only("main.holdLocal")
    frames = parked.stacks.frames
    names = parked.functions_of(goroutine)
    row = int(frames.first[goroutine]) + names.index("main.holdLocal")
    source = (PROGRAMS / "stacks" / "main.go").read_text().splitlines()

    calls = parked.functions.inlined(int(frames.symbol_pcs(parked.functions)[row]))

    assert [call.function for call in calls] == ["main.park", "main.holdLocal"]
    assert [source[call.line - 1].strip() for call in calls] == ["func park() { <-block }", "park()"]


def test_the_collector_marked_what_stacks_hold_and_nothing_else(go: Toolchain) -> None:
    with running(build(PROGRAMS / "stacks", go), ["collect"]) as target:
        heap = load_heap(capture_process(target.pid, None).core)
    marked = heap.objects.marked.astype(bool)
    addrs = np.array([int(text, 16) for text in target.ready["addresses"].values()], np.uint64)
    names = list(target.ready["addresses"])
    payloads = heap.objects.find(addrs)

    lost = {name for name, row in zip(names, payloads, strict=True) if marked[row] and not heap.live[row]}
    kept = {name for name, row in zip(names, payloads, strict=True) if marked[row]}
    assert lost == set()
    assert kept == {name for name in names if not name.startswith("dead")}
    # After a collection the runtime's own goroutines run and drop what they held: the scavenger a timer,
    # in Go 1.24 the cleanup of unique maps two closures.
    assert np.flatnonzero(marked & ~heap.live).size <= 3
    # After the collection the program makes its ready line: a handful of objects.
    assert np.flatnonzero(heap.live & ~marked).size <= 60


def test_a_goroutine_that_has_not_run_yet_holds_its_closure(go: Toolchain) -> None:
    program = build(PROGRAMS / "stacks", go)
    # The wrapper of a go statement is called like a function literal up to 1.21.
    wrapper = "main.run.func8" if go.minor == "1.21" else "main.run.gowrap1"
    # Where the main goroutine's write takes long, the runtime gives its processor to the new one.
    for _ in range(10):
        found = run_and_snapshot(program, ["unstarted"], NO_PREEMPTION)
        if found.with_function(wrapper):
            break

    goroutine = found.only(wrapper)
    (closure,) = found.values(goroutine, RootKind.CONTEXT)
    assert found.runtime.image.u64(closure + 8) == found.addresses["unstarted"]
    assert found.stacks.unknowns == {}


def test_a_spinning_goroutine_holds_what_is_in_its_registers(go: Toolchain) -> None:
    with running(build(PROGRAMS / "stacks", go), ["unstarted"], environment=NO_PREEMPTION) as target:
        for _ in range(100):
            found = snapshot(target)
            goroutine = found.only("main.run")
            names = found.functions_of(goroutine)
            # It may still be on its way back from saying that it is ready.
            if names[0] == "main.run":
                break

    assert names == ["main.run", "main.main", "runtime.main", "runtime.goexit"]
    assert found.stacks.executing.goroutine.tolist() == [goroutine]
    assert (goroutine, "", RootKind.REGISTER) in found.roots_to("main spins")


BUSY = {
    "spin 0": "main.spin",
    "spin 1": "main.spin",
    "spin 2": "main.spin",
    "clock": "main.readClock",
    "allocate": "main.allocate",
    "system call": "main.callSystem",
    "grow": "main.grow",
}


def test_goroutines_stopped_anywhere_keep_what_they_hold(go: Toolchain) -> None:
    """Running, preempted anywhere, in the allocator, the vDSO or a system call, growing their stacks."""
    with running(build(PROGRAMS / "stacks", go), ["busy"]) as target:
        for _ in range(8):
            found = snapshot(target)
            assert found.stacks.unknowns == {}
            for name, function in BUSY.items():
                holders = {goroutine for goroutine, _, _ in found.roots_to(name)}
                assert holders & set(found.with_function(function)), name


def test_a_preempted_goroutine_is_conservative_in_the_interrupted_frame_only(go: Toolchain) -> None:
    with running(build(PROGRAMS / "stacks", go), ["busy"]) as target:
        found = snapshot(target)
    preempted = found.with_function("runtime.asyncPreempt")
    roots, frames = found.stacks.roots, found.stacks.frames

    assert preempted
    for goroutine in preempted:
        names = found.functions_of(goroutine)
        interrupted = names.index("runtime.asyncPreempt")
        rows = np.flatnonzero((roots.goroutine == goroutine) & (roots.kind == RootKind.CONSERVATIVE))
        places = (roots.frame[rows] - frames.first[goroutine]).tolist()
        assert set(places) <= {interrupted, interrupted + 1}


def test_running_goroutines_without_registers_count_whole_and_are_reported(go: Toolchain) -> None:
    program = build(PROGRAMS / "stacks", go)
    found = run_and_snapshot(program, ["unstarted"], NO_PREEMPTION)
    goroutine = found.only("main.run")

    stacks = read_stacks(found.runtime, found.functions, found.goroutines, ())

    assert stacks.unknowns == {"running goroutines without the registers of their thread": 1}
    roots = stacks.roots
    held = roots.value[(roots.goroutine == goroutine) & (roots.kind == RootKind.CONSERVATIVE)]
    assert found.addresses["main spins"] in held


def test_stacks_that_are_not_captured_are_counted_and_nothing_is_made_up(simple: Snapshot) -> None:
    goroutine = simple.only("main.holdDeep")
    low, high = int(simple.goroutines.stack_lo[goroutine]), int(simple.goroutines.stack_hi[goroutine])
    kept = [segment for segment in simple.runtime.image.segments if not low <= segment.start < high]
    cut = []
    for segment in kept:
        # The stack's pages lie inside one large segment of the heap: leave a hole in it.
        if segment.start <= low and high <= segment.end:
            cut.append(replace(segment, end=low))
            offset = segment.offset + high - segment.start
            cut.append(replace(segment, start=high, offset=offset))
        else:
            cut.append(segment)
    image = Image(simple.runtime.image.buffers, cut)
    runtime = replace(simple.runtime, image=image, pages=build_page_table(image))

    stacks = read_stacks(runtime, simple.functions, simple.goroutines, ())

    assert stacks.outcome[goroutine] == Outcome.MISSING_MEMORY
    assert stacks.unknowns["stacks that are not whole in the capture"] == 1
    others = np.delete(stacks.outcome, goroutine)
    assert set(others.tolist()) <= {Outcome.WHOLE, Outcome.NO_STACK}


def test_goroutines_that_cannot_be_read_are_counted(simple: Snapshot) -> None:
    goroutines = simple.goroutines
    alive = np.flatnonzero(simple.stacks.outcome == Outcome.WHOLE)
    stack_hi, present = goroutines.stack_hi.copy(), goroutines.present.copy()
    stack_hi[alive[:2]] = 1, 2**63
    present[alive[2:5]] = False

    damaged = replace(goroutines, stack_hi=stack_hi, present=present)
    stacks = read_stacks(simple.runtime, simple.functions, damaged, ())

    assert stacks.unknowns == {
        "goroutines that are not in the capture": 3,
        "goroutines whose stack has impossible bounds": 2,
    }
    assert not np.isin(stacks.roots.goroutine, alive[:5]).any()


def overwritten(found: Snapshot, words: dict[int, int]) -> Runtime:
    """Return the runtime with other words in its memory, by address."""
    core, *rest = found.runtime.image.buffers
    data = core[: core.size // 8 * 8].copy().view(np.uint64)
    for addr, value in words.items():
        segment = found.runtime.image.segment_at(addr)
        assert segment is not None
        assert segment.buffer == 0
        data[(segment.offset + addr - segment.start) // 8] = value
    image = Image((data.view(np.uint8), *rest), found.runtime.image.segments)
    return replace(found.runtime, image=image, pages=build_page_table(image))


def test_a_list_of_defers_that_goes_in_a_circle_ends(simple: Snapshot) -> None:
    goroutine = simple.only("main.holdLoopDefers")
    link = simple.runtime.layout.offset("runtime._defer", "link")
    last = int(simple.goroutines.defer[goroutine])
    first = simple.runtime.image.u64(last + link)

    runtime = overwritten(simple, {first + link: last})
    stacks = read_stacks(runtime, simple.functions, simple.goroutines, ())

    assert stacks.unknowns == {"lists of defers that cannot be followed": 1}
    assert len(stacks.roots) <= len(simple.stacks.roots) + 12


def test_a_stack_that_overlaps_others_is_not_believed(simple: Snapshot) -> None:
    alive = np.flatnonzero(simple.stacks.outcome == Outcome.WHOLE)
    stack_lo, stack_hi = simple.goroutines.stack_lo.copy(), simple.goroutines.stack_hi.copy()
    lowest = alive[np.argmin(stack_lo[alive])]
    stack_hi[lowest] = stack_lo[lowest] + np.uint64(1 << 30)

    damaged = replace(simple.goroutines, stack_hi=stack_hi)
    stacks = read_stacks(simple.runtime, simple.functions, damaged, ())

    assert stacks.unknowns == {"goroutines whose stack has impossible bounds": 1}
    assert stacks.outcome[lowest] == Outcome.NO_STACK
    assert (stacks.outcome[alive[alive != lowest]] == Outcome.WHOLE).all()


def test_damaged_memory_neither_crashes_nor_hangs_nor_harms_other_goroutines(simple: Snapshot) -> None:
    generator = np.random.default_rng(20)
    victims = np.flatnonzero(simple.stacks.outcome == Outcome.WHOLE)
    for round_number in range(60):
        target = int(generator.choice(victims))
        low = int(simple.goroutines.addr[target])
        high = low + simple.runtime.layout.size("runtime.g")
        if round_number % 2:
            first = int(simple.stacks.frames.first[target])
            low, high = int(simple.stacks.frames.sp[first]), int(simple.goroutines.stack_hi[target])
        addrs = generator.integers(low // 8, high // 8, 12) * 8
        evil = [0, 1, 2**64 - 1, 2**63, 2**47, low, high, low + 1, low + 64, high - 8, 0x400000, 0xC000000000]
        values = generator.choice(np.array(evil, np.uint64), 12)
        runtime = overwritten(simple, dict(zip(addrs.tolist(), values.tolist(), strict=True)))
        goroutines = read_goroutines(runtime, simple.goroutines.addr)

        stacks = read_stacks(runtime, simple.functions, goroutines, ())

        untouched = np.setdiff1d(victims, [target])
        assert (stacks.outcome[untouched] == Outcome.WHOLE).all()


def test_a_damaged_function_table_is_survived(simple: Snapshot) -> None:
    """Every byte of the program's tables may be wrong; what comes out is counted, not believed."""
    generator = np.random.default_rng(21)
    module = simple.runtime.modules[0]
    image = simple.runtime.image
    ranges = [module.slice("pclntable"), module.slice("pctab"), (module.word("gofunc"), 1 << 14)]
    for round_number in range(30):
        addr, size = ranges[round_number % 3]
        segment = image.segment_at(addr)
        assert segment is not None
        buffers = list(image.buffers)
        damaged = buffers[segment.buffer].copy()
        start = segment.offset + addr - segment.start
        places = start + generator.integers(0, size, size // 8)
        damaged[places] = generator.integers(0, 256, places.size)
        buffers[segment.buffer] = damaged
        runtime = replace(simple.runtime, image=Image(buffers, image.segments))
        functions = FunctionTable(runtime)

        stacks = read_stacks(runtime, functions, simple.goroutines, simple.core.threads)

        assert stacks.outcome.size == len(simple.goroutines)
        for pc in generator.integers(module.word("text"), module.word("etext"), 200):
            functions.inlined(int(pc))


def test_parked_threads_run_no_goroutine(simple: Snapshot) -> None:
    found = find_executing(simple.runtime, simple.functions, simple.goroutines, simple.core.threads)

    assert found.goroutine.tolist() == []
    assert found.other_threads == len(simple.core.threads)
