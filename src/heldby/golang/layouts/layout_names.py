"""What of the runtime's structures and constants a layout holds: everything that heldby reads by name.

A name that a release does not have is left out of its table. Names that only some releases have say which.
"""

from __future__ import annotations

from typing import Final

STRUCTS: Final = (
    *(f"internal/abi.{name}" for name in ("ArrayType", "ChanType", "FuncType", "ITab", "Imethod")),
    *(f"internal/abi.{name}" for name in ("InterfaceType", "MapType", "Method", "Name", "OldMapType")),
    *(f"internal/abi.{name}" for name in ("PtrType", "SliceType", "StructField", "StructType")),
    *(f"internal/abi.{name}" for name in ("SwissMapType", "Type", "UncommonType")),
    *(f"internal/runtime/maps.{name}" for name in ("Map", "groupsReference", "table")),
    *(f"runtime.{name}" for name in ("_defer", "_func", "_panic", "bitvector", "bmap", "bucket")),
    *(f"runtime.{name}" for name in ("cleanupBlock", "cleanupBlockHeader", "cleanupFn", "cleanupQueue")),
    *(f"runtime.{name}" for name in ("consistentHeapStats", "coro", "finBlock", "finalizer", "finblock")),
    *(f"runtime.{name}" for name in ("findfuncbucket", "fixalloc", "functab", "funcval", "g")),
    *(f"runtime.{name}" for name in ("gcControllerState", "gcWork", "gobuf", "hchan", "heapArena")),
    *(f"runtime.{name}" for name in ("heapStatsDelta", "hmap", "inlinedCall", "itab", "m", "mSpanList")),
    *(f"runtime.{name}" for name in ("mapextra", "maybeTraceableChan", "maybeTraceablePtr", "mcache")),
    *(f"runtime.{name}" for name in ("mcentral", "memRecord", "memRecordCycle", "mheap", "moduledata")),
    *(f"runtime.{name}" for name in ("mspan", "mstats", "p", "pageAlloc", "pageCache", "pallocData")),
    *(f"runtime.{name}" for name in ("pcHeader", "persistentAlloc", "pollDesc", "semaRoot", "special")),
    *(f"runtime.{name}" for name in ("specialBubble", "specialCheckFinalizer", "specialCleanup")),
    *(f"runtime.{name}" for name in ("specialPinCounter", "specialReachable", "specialSecret")),
    *(f"runtime.{name}" for name in ("specialWeakHandle", "specialfinalizer", "specialprofile", "stack")),
    *(f"runtime.{name}" for name in ("stackObjectRecord", "stackmap", "stackpoolItem", "sudog")),
    *(f"runtime.{name}" for name in ("textsect", "timeTimer", "timer", "timerWhen", "timers", "waitq")),
    *(f"runtime.{name}" for name in ("workType", "workbuf", "xRegPerG", "xRegState")),
    *(f"sync.{name}" for name in ("Mutex", "Pool", "poolChain", "poolChainElt", "poolDequeue")),
    *(f"sync.{name}" for name in ("poolLocal", "poolLocalInternal")),
    "time.Timer",
)

#: Every constant whose name starts with one of these.
CONSTANT_PREFIXES: Final = (
    *("internal/abi.FUNCDATA_", "internal/abi.PCDATA_", "internal/abi.FuncID", "internal/abi.TFlag"),
    *("runtime._G", "runtime._KindSpecial", "runtime.mSpan"),
)
CONSTANTS: Final = (
    *("internal/abi.KindDirectIface", "internal/abi.KindGCProg", "internal/abi.KindMask"),
    *("internal/abi.MapBucketCount", "internal/abi.OldMapBucketCount"),
    *("internal/abi.MapGroupSlots", "internal/abi.SwissMapGroupSlots"),
    *("internal/abi.MapIndirectElem", "internal/abi.MapIndirectKey"),
    *("internal/abi.SwissMapIndirectElem", "internal/abi.SwissMapIndirectKey"),
    *("internal/abi.MapMaxElemBytes", "internal/abi.MapMaxKeyBytes", "internal/abi.MaxPtrmaskBytes"),
    *("internal/abi.OldMapMaxElemBytes", "internal/abi.OldMapMaxKeyBytes"),
    *("internal/abi.SwissMapMaxElemBytes", "internal/abi.SwissMapMaxKeyBytes"),
    *("runtime._PageSize", "runtime.arenaBaseOffset", "runtime.arenaBaseOffsetUintptr"),
    *("runtime.arenaL1Bits", "runtime.arenaL1Shift", "runtime.arenaL2Bits", "runtime.heapArenaBytes"),
    *("runtime.mallocHeaderSize", "runtime.maxTinySize", "runtime.minSizeForMallocHeader"),
    *("runtime.pageSize", "runtime.pagesPerArena", "runtime.pallocChunkBytes", "runtime.pallocChunkPages"),
    *("runtime.pallocChunksL1Bits", "runtime.pallocChunksL1Shift", "runtime.pallocChunksL2Bits"),
    "runtime.tinySizeClass",
)
#: The variable that holds the texts of wait reasons, an array of strings (runtime/runtime2.go).
WAIT_REASONS: Final = "runtime.waitReasonStrings"
