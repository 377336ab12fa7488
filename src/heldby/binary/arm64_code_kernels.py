"""One pass over arm64 code: references to data, and what the code tells of the types of globals.

Go forms the address of a global with ADRP and either ADD or the offset of a load or store; the pair may
be apart. Encodings: Arm Architecture Reference Manual, C4.1. Fixed-width instructions cannot be mistaken.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.binary.code_constants import (
    ADDRESS,
    ADDRESS_TAKEN,
    INSIDE,
    JOINS,
    LOADED,
    NIL,
    OFFSET_BITS,
    PAGE,
    RELATION_IS,
    RESULT_IS,
    RESULT_POINTS_TO,
    RESULT_SLICE_OF,
    ROLE_BARRIER,
    SPILL_WORDS,
    STORE,
    UNKNOWN,
)
from heldby.binary.code_kernels import arrive, call, forget, jump_to, note_return, row_of, tell
from heldby.binary.flow_kernels import (
    enter,
    entry_of_map,
    learn,
    note_copy,
    note_store,
    note_typed_store,
    place_of,
    teach,
)
from heldby.jit import inline_kernel, kernel

_SP = 31
_TEMPORARY = 27  # the assembler's own register, cmd/internal/obj/arm64: REGTMP


@inline_kernel
def sign_extend(value, bits):
    """Return the low `bits` of `value` as a signed number."""
    top = np.int64(1) << (bits - 1)
    return ((value & ((top << 1) - 1)) ^ top) - top


@kernel
def scan_arm64(
    code, base, entries, roles, results, learnt, state, flow, data, kinds, values, joins, spills, references,
    evidence,
):  # fmt: skip
    """Scan `code`; return ``(references, evidence rows, undecodable bytes)``.

    Args:
        code: ``uint8[n]``.
        base: its address (int64), divisible by 4.
        entries: as for `amd64_code_kernels.scan_amd64`.
        roles: likewise.
        results: likewise.
        learnt: likewise.
        state: likewise.
        flow: likewise.
        data: likewise.
        kinds: ``int64[32]``, work: what registers hold; 31 is never known.
        values: ``int64[32]``, work.
        joins: ``int64[JOINS, 65]``, work.
        spills: ``int64[SPILL_WORDS, 3]``, zeroed work.
        references: ``int64[capacity, 3]``: target, instruction, flags.
        evidence: ``int64[capacity, 3]``: data address, relation, descriptor or callee.
    """
    low, high = data[0], data[1]
    found = 0
    told = 0
    current = -1
    generation = 0
    alive = True
    forget(kinds)
    for index in range(code.shape[0] // 4):
        position = np.int64(4 * index)
        here = base + position
        changed = generation == 0
        while current + 1 < entries.shape[0] and entries[current + 1] <= here:
            current += 1
            changed = True
        if changed:
            generation += 1
            alive = True
            forget(kinds)
            if current >= 0:
                enter(flow.arguments, flow.order, current, kinds, values)
        slot = index & (JOINS - 1)
        if joins[slot, 0] == here:
            arrive(joins, slot, alive, kinds, values)
            alive = True
        w = (
            np.int64(code[position])
            | np.int64(code[position + 1]) << 8
            | np.int64(code[position + 2]) << 16
            | np.int64(code[position + 3]) << 24
        )
        rd = w & 31
        rn = (w >> 5) & 31
        if w & 0x1F000000 == 0x10000000:  # ADR, ADRP
            distance = sign_extend(((w >> 3) & 0x1FFFFC) | ((w >> 29) & 3), 21)
            if w & 0x80000000:
                kinds[rd] = PAGE
                values[rd] = (here & ~np.int64(0xFFF)) + (distance << 12)
            else:
                kinds[rd] = ADDRESS
                values[rd] = here + distance
            kinds[_SP] = UNKNOWN
            continue
        if w & 0xFF800000 == 0x91000000:  # ADD (immediate), 64 bits
            amount = (w >> 10) & 0xFFF
            if w & 0x400000:
                amount <<= 12
            if kinds[rn] == PAGE or kinds[rn] == ADDRESS:
                target = values[rn] + amount
                if kinds[rn] == PAGE and rd != _TEMPORARY and target >= low and target < high:
                    if found < references.shape[0]:
                        references[found, 0] = target
                        references[found, 1] = here
                        references[found, 2] = ADDRESS_TAKEN
                        found += 1
                kinds[rd] = ADDRESS
                values[rd] = target
            else:
                place = place_of(kinds[rn], values[rn], amount)
                kinds[rd] = INSIDE if place > 0 else UNKNOWN
                values[rd] = place
            kinds[_SP] = UNKNOWN
            continue
        if w & 0xFFE0FFE0 == 0xAA0003E0:  # MOV (register)
            rm = (w >> 16) & 31
            kinds[rd] = kinds[rm] if rm != 31 else NIL
            values[rd] = values[rm] if rm != 31 else 0
            kinds[_SP] = UNKNOWN
            continue
        if w & 0xFFFFFFE0 == 0xD2800000:  # MOVZ #0
            kinds[rd] = NIL
            values[rd] = 0
            kinds[_SP] = UNKNOWN
            continue
        single = w & 0x3B000000 == 0x39000000  # one register, unsigned offset
        pair = w & 0x3A000000 == 0x28000000
        if single or pair:
            vector = w & 0x04000000 != 0
            writeback = False
            if single:
                size = (w >> 30) & 3
                opc = (w >> 22) & 3
                if vector:
                    size |= (opc & 2) << 1
                store = opc & 1 == 0 if vector else opc == 0
                offset = ((w >> 10) & 0xFFF) << size
                whole = size == 3 and opc <= 1 and not vector
                second = -1
            else:
                opc = (w >> 30) & 3
                store = w & 0x400000 == 0
                size = 2 + opc if vector else 2 + (opc >> 1)
                offset = sign_extend(w >> 15, 7) << size
                mode = (w >> 23) & 3
                writeback = mode == 1 or mode == 3  # noqa: PLR1714
                whole = opc == 2 and not vector
                second = (w >> 10) & 31
                if mode == 1:
                    offset = 0
            base_kind, base_value = kinds[rn], values[rn]
            if rn == _SP or writeback:
                base_kind = np.int64(UNKNOWN)
            target = np.int64(0)
            known = False
            if kinds[rn] == PAGE or kinds[rn] == ADDRESS:
                target = values[rn] + offset
                known = target >= low and target < high
                if known and (kinds[rn] == PAGE or rn == _TEMPORARY) and found < references.shape[0]:
                    references[found, 0] = target
                    references[found, 1] = here
                    references[found, 2] = STORE if store else 0
                    found += 1
            word = -1
            if rn == _SP and whole and not writeback and offset >= 0:
                word = offset >> 3
            for which in range(2):
                register = rd if which == 0 else second
                if register < 0:
                    continue
                if vector:
                    # Two words of a struct that is copied.
                    for half in range(2):
                        if store and size == 4:
                            note_typed_store(
                                flow, state, here, base_kind, base_value, offset + 16 * which + 8 * half,
                                np.int64(UNKNOWN), np.int64(0),
                            )  # fmt: skip
                    continue
                at = target + 8 * which
                w_at = word + which if word >= 0 else -1
                if w_at >= SPILL_WORDS:
                    w_at = -1
                if store:
                    if w_at >= 0:
                        spills[w_at, 0] = generation
                        spills[w_at, 1] = kinds[register]
                        spills[w_at, 2] = values[register]
                    elif whole and known and kinds[register] >= RESULT_IS:
                        if kinds[register] <= RESULT_SLICE_OF:
                            told = tell(
                                evidence,
                                told,
                                at,
                                kinds[register] - RESULT_IS + RELATION_IS,
                                values[register],
                            )
                    if whole and w_at < 0 and register != 31:
                        kind, value = kinds[register], values[register]
                        if known:
                            note_store(flow.stores, state, here, at << OFFSET_BITS, kind, value)
                        else:
                            distance = offset + 8 * which
                            note_typed_store(flow, state, here, base_kind, base_value, distance, kind, value)
                            if base_kind == RESULT_POINTS_TO and distance == 0 and kind == ADDRESS:
                                # A closure: its function will be called with the captures.
                                function = row_of(entries, value)
                                if function >= 0:
                                    learn(
                                        flow.learnt, function, flow.order.shape[0] - 1, base_kind, base_value
                                    )
                else:
                    kind, value = np.int64(UNKNOWN), np.int64(0)
                    if whole and known:
                        kind, value = np.int64(LOADED), at
                        row = row_of(flow.words, at << OFFSET_BITS)
                        if row >= 0 and flow.kinds[row] != UNKNOWN:
                            kind, value = flow.kinds[row], flow.values[row]
                    elif w_at >= 0 and spills[w_at, 0] == generation:
                        kind, value = spills[w_at, 1], spills[w_at, 2]
                    elif whole and w_at < 0:
                        row = row_of(flow.words, place_of(base_kind, base_value, offset + 8 * which))
                        if row >= 0:
                            kind, value = flow.kinds[row], flow.values[row]
                    kinds[register] = kind
                    values[register] = value
            if writeback:
                kinds[rn] = UNKNOWN
            kinds[_SP] = UNKNOWN
            continue
        if w & 0xFFA0FC00 == 0xF8207800:  # one register, 64 bits, at an index times 8
            if w & 0x400000:
                row = row_of(flow.words, place_of(kinds[rn], values[rn], np.int64(0)))
                kinds[rd] = flow.kinds[row] if row >= 0 else UNKNOWN
                values[rd] = flow.values[row] if row >= 0 else 0
            elif rd != 31:
                note_typed_store(flow, state, here, kinds[rn], values[rn], np.int64(0), kinds[rd], values[rd])
            kinds[_SP] = UNKNOWN
            continue
        if w & 0xFF200000 == 0x8B000000:  # ADD (shifted register), 64 bits: array and index make an element
            place = place_of(kinds[rn], values[rn], np.int64(0)) if kinds[rn] == RESULT_SLICE_OF else -1
            kinds[rd] = INSIDE if place > 0 else UNKNOWN
            values[rd] = place
            kinds[_SP] = UNKNOWN
            continue
        branch = np.int64(0)
        if w & 0xFC000000 == 0x14000000:  # B
            branch = sign_extend(w, 26) << 2
        elif w & 0xFF000010 == 0x54000000 or w & 0x7E000000 == 0x34000000:  # B.cond, CBZ, CBNZ
            branch = sign_extend(w >> 5, 19) << 2
        elif w & 0x7E000000 == 0x36000000:  # TBZ, TBNZ
            branch = sign_extend(w >> 5, 14) << 2
        if branch != 0:
            limit = code.shape[0]
            if current + 1 < entries.shape[0] and entries[current + 1] - base < limit:
                limit = entries[current + 1] - base
            if branch > 0 and position + branch < limit:
                jump_to(joins, (index + (branch >> 2)) & (JOINS - 1), here + branch, kinds, values)
            if w & 0xFC000000 == 0x14000000:
                alive = False
                forget(kinds)
            continue
        if w & 0xFC000000 == 0x94000000:  # BL
            callee = here + (sign_extend(w, 26) << 2)
            function = row_of(entries, callee)
            role = np.int64(0)
            kind = np.int64(UNKNOWN)
            value = np.int64(0)
            if function >= 0:
                role, kind, value = roles[function], results[function, 0], results[function, 1]
            if role == ROLE_BARRIER:
                kinds[25] = UNKNOWN
                kinds[_TEMPORARY] = UNKNOWN
                continue
            elements = entry_of_map(flow, role, kinds[0], values[0])
            note_copy(flow, state, role, here, kinds, values, 0, 1, 2)
            if function >= 0:
                teach(flow.learnt, function, flow.order, kinds, values, data)
            told = call(
                callee, role, kind, value, state, data, kinds, values, 0, 1, 2, 4, spills, generation, here,
                evidence, told,
            )  # fmt: skip
            if elements != 0:
                kinds[0] = RESULT_POINTS_TO
                values[0] = elements
            continue
        if w & 0xFE000000 == 0xD6000000:  # BR, BLR, RET
            if w & 0x00600000 == 0x00400000 and current >= 0:
                note_return(learnt, current, kinds[0], values[0])
            if w & 0x00600000 != 0x00200000:
                alive = False
            forget(kinds)
            continue
        if w & 0xFF000000 == 0xD4000000 or w < 0x10000:  # BRK, UDF
            if w & 0xFFE00000 == 0xD4200000 or w < 0x10000:
                alive = False
            forget(kinds)
            continue
        # Anything else: forget what it may write.
        group = (w >> 25) & 15
        if group & 7 == 7:  # vector and floating point: only moves to general registers write them
            if w & 0x5F20FC00 == 0x1E200000 or w & 0xBFE0FC00 == 0x0E003C00:
                kinds[rd] = UNKNOWN
        elif group & 5 == 4:  # other loads and stores
            kinds[rd] = UNKNOWN
            if w & 0x3F000000 == 0x08000000 or w & 0x3B200C00 == 0x38200000:
                kinds[(w >> 16) & 31] = UNKNOWN
            if w & 0x3B200400 == 0x38000400:
                kinds[rn] = UNKNOWN
        else:
            kinds[rd] = UNKNOWN
        kinds[_SP] = UNKNOWN
    return found, told, 0
