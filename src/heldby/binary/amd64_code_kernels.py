"""One pass over amd64 code: references to data, and what the code tells of the types of globals.

Instructions are decoded one after the other from each function's entry, so an operand is never taken for
an opcode. Beside the length the pass follows what few instructions do to registers and spilled words
(LEAQ x(SB), MOVQ x(SB), MOVQ between registers and the stack, CALL); anything else forgets what it writes.
"""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from heldby.binary.amd64_decode_kernels import (
    BASE,
    DISPLACEMENT,
    FLAGS,
    INDEXED,
    KEY,
    MOD,
    REG,
    RELATIVE,
    RM,
    WIDE,
    decode,
    read32,
)
from heldby.binary.amd64_opcodes import ENDS, JUMPS, WRITES_MANY, WRITES_REG, WRITES_RM
from heldby.binary.code_constants import (
    ADDRESS,
    ADDRESS_TAKEN,
    INSIDE,
    JOINS,
    LOADED,
    NIL,
    OFFSET_BITS,
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
from heldby.jit import kernel

_AX, _CX, _DX, _BX, _SP, _SI, _DI = 0, 1, 2, 3, 4, 6, 7


@kernel
def scan_amd64(
    code,
    base,
    entries,
    roles,
    results,
    learnt,
    state,
    flow,
    table,
    immediates,
    fields,
    data,
    kinds,
    values,
    joins,
    spills,
    references,
    evidence,
):
    """Scan `code`; return ``(references, evidence rows, undecodable bytes)``.

    Args:
        code: ``uint8[n]``.
        base: its address (int64).
        entries: ``int64[functions]``, function entries, ascending and distinct; may be empty.
        roles: ``int64[functions]``, their ``ROLE_*``.
        results: ``int64[functions, 2]``: what is known of the first result: kind, value.
        learnt: ``int64[functions, 2]``, zeroed: what this pass finds out of them.
        state: ``int64[2]``: descriptor of the runtime's own map struct, 0 until it is found; how many rows of
            ``flow.stores`` are written.
        flow: `TypeFlow`.
        table: ``uint16[4, 256]`` of `amd64_opcodes.opcode_table`.
        immediates: ``int64[16, 3]`` of `amd64_opcodes.immediate_sizes`.
        fields: ``int64[16]``, work: the instruction at hand.
        data: ``int64[2]``, bounds of the addresses that are wanted.
        kinds: ``int64[16]``, work: what registers hold.
        values: ``int64[16]``, work.
        joins: ``int64[JOINS, 33]``, work: address of a jump's target, kinds and values that come with it.
        spills: ``int64[SPILL_WORDS, 3]``, zeroed work: generation, kind, value of words above SP.
        references: ``int64[capacity, 3]``: target, instruction, flags.
        evidence: ``int64[capacity, 3]``: data address, relation, descriptor or callee.
    """
    size = code.shape[0]
    low, high = data[0], data[1]
    # Typed like what they become: helpers that are called with a literal first are compiled twice.
    found = np.int64(0)
    told = np.int64(0)
    bad = 0
    current = np.int64(-1)
    generation = np.int64(0)
    limit = size
    changed = True
    alive = np.bool_(True)
    position = np.int64(0)
    while position < size:
        here = base + position
        while current + 1 < entries.shape[0] and entries[current + 1] <= here:
            current += 1
            changed = True
        if changed:
            changed = False
            generation += 1
            alive = True
            forget(kinds)
            if current >= 0:
                enter(flow.arguments, flow.order, current, kinds, values)
            limit = size
            if current + 1 < entries.shape[0] and entries[current + 1] - base < size:
                limit = entries[current + 1] - base
        slot = position & (JOINS - 1)
        if joins[slot, 0] == here:
            arrive(joins, slot, alive, kinds, values)
            alive = True
        end = decode(code, position, limit, table, immediates, fields)
        if end < 0:
            bad += 1
            position += 1
            continue
        key, flags, wide, mod = fields[KEY], fields[FLAGS], fields[WIDE], fields[MOD]
        reg, rm, displacement = fields[REG], fields[RM], fields[DISPLACEMENT]
        writes = flags & WRITES_RM != 0
        target = base + end + displacement
        in_data = fields[RELATIVE] != 0 and target >= low and target < high
        if in_data and found < references.shape[0]:
            references[found, 0] = target
            references[found, 1] = here
            references[found, 2] = STORE if writes else ADDRESS_TAKEN if key == 0x8D else 0
            found += 1
        start = position
        position = end
        base_register = fields[BASE] if fields[BASE] >= 0 else fields[INDEXED]
        # What is known after this instruction.
        word = -1
        if fields[BASE] == _SP and displacement >= 0 and displacement & 7 == 0:
            if displacement < 8 * SPILL_WORDS:
                word = displacement >> 3
        if key == 0x89 and wide:  # MOVQ reg, r/m
            if mod == 3:
                kinds[rm] = kinds[reg]
                values[rm] = values[reg]
            elif word >= 0:
                spills[word, 0] = generation
                spills[word, 1] = kinds[reg]
                spills[word, 2] = values[reg]
            elif in_data:
                if kinds[reg] >= RESULT_IS and kinds[reg] <= RESULT_SLICE_OF:
                    told = tell(evidence, told, target, kinds[reg] - RESULT_IS + RELATION_IS, values[reg])
                note_store(flow.stores, state, here, target << OFFSET_BITS, kinds[reg], values[reg])
            elif base_register >= 0:
                kind, value = kinds[base_register], values[base_register]
                note_typed_store(flow, state, here, kind, value, displacement, kinds[reg], values[reg])
                if kind == RESULT_POINTS_TO and displacement == 0 and kinds[reg] == ADDRESS:
                    # A closure: its function will be called with the captures.
                    function = row_of(entries, values[reg])
                    if function >= 0:
                        learn(flow.learnt, function, flow.order.shape[0] - 1, kind, value)
            continue
        if key == 0x8B and wide:  # MOVQ r/m, reg
            kind, value = np.int64(UNKNOWN), np.int64(0)
            if mod == 3:
                kind, value = kinds[rm], values[rm]
            elif in_data:
                kind, value = np.int64(LOADED), target
                row = row_of(flow.words, target << OFFSET_BITS)
                if row >= 0 and flow.kinds[row] != UNKNOWN:
                    kind, value = flow.kinds[row], flow.values[row]
            elif word >= 0 and spills[word, 0] == generation:
                kind, value = spills[word, 1], spills[word, 2]
            elif base_register >= 0:
                row = row_of(flow.words, place_of(kinds[base_register], values[base_register], displacement))
                if row >= 0:
                    kind, value = flow.kinds[row], flow.values[row]
            kinds[reg] = kind
            values[reg] = value
            continue
        if key == 0x8D:  # LEAQ
            kind, value = np.int64(UNKNOWN), target
            if fields[RELATIVE]:
                kind = np.int64(ADDRESS)
            elif base_register >= 0 and (fields[BASE] >= 0 or kinds[base_register] == RESULT_SLICE_OF):
                if kinds[base_register] != ADDRESS:
                    place = place_of(kinds[base_register], values[base_register], displacement)
                    if place > 0:
                        kind, value = np.int64(INSIDE), place
            kinds[reg] = kind
            values[reg] = value
            continue
        if (key == 0x111 or key == 0x17F) and reg != 15 and base_register >= 0:  # noqa: PLR1714
            # MOVUPS: two words; X15 is zero. With the prefixes F2 and F3 one number.
            if code[start] != 0xF2 and code[start] != 0xF3:
                for half in range(2):
                    kind, value = kinds[base_register], values[base_register]
                    note_typed_store(
                        flow,
                        state,
                        here,
                        kind,
                        value,
                        displacement + 8 * half,
                        np.int64(UNKNOWN),
                        np.int64(0),
                    )
        if (key == 0x83 or key == 0x81) and wide and mod == 3 and reg & 7 == 0:  # noqa: PLR1714
            # ADDQ $field, pointer
            amount = np.int64(np.int8(code[end - 1])) if key == 0x83 else read32(code, end - 4)
            place = place_of(kinds[rm], values[rm], amount)
            if place > 0 and kinds[rm] != ADDRESS:
                kinds[rm] = INSIDE
                values[rm] = place
                continue
        if key == 0x01 and wide and mod == 3 and kinds[reg] + kinds[rm] == RESULT_SLICE_OF:
            # The address of an element: array and index are added, of which nothing else is known.
            if kinds[reg] == RESULT_SLICE_OF:
                values[rm] = values[reg]
            kinds[rm] = RESULT_SLICE_OF
            continue
        if mod >= 0:
            if flags & WRITES_REG:
                kinds[reg] = UNKNOWN
            if writes and mod == 3:
                kinds[rm] = NIL if key == 0x31 and rm == reg else UNKNOWN
            elif writes and word >= 0:
                spills[word, 1] = UNKNOWN
        elif flags & WRITES_REG:
            kinds[rm] = UNKNOWN
        if flags & WRITES_MANY:
            forget(kinds)
        if flags & JUMPS:
            distance = read32(code, position - 4)
            if key < 0x100 and key != 0xE9:
                distance = np.int64(np.int8(code[position - 1]))
            to = position + distance
            if distance >= 0 and to < limit:
                jump_to(joins, to & (JOINS - 1), base + to, kinds, values)
        if flags & ENDS:
            if key == 0xC3 and current >= 0:
                note_return(learnt, current, kinds[_AX], values[_AX])
            # What follows is padding, or is reached by jumps: the next known one says what it knows.
            alive = False
            forget(kinds)
        if key != 0xE8:
            continue
        callee = base + position + read32(code, position - 4)
        function = row_of(entries, callee)
        role = np.int64(0)
        known = np.int64(UNKNOWN)
        known_value = np.int64(0)
        if function >= 0:
            role, known, known_value = roles[function], results[function, 0], results[function, 1]
        if role == ROLE_BARRIER:
            kinds[11] = UNKNOWN
            continue
        elements = entry_of_map(flow, role, kinds[_AX], values[_AX])
        note_copy(flow, state, role, here, kinds, values, _AX, _BX, _CX)
        if function >= 0:
            teach(flow.learnt, function, flow.order, kinds, values, data)
        told = call(
            callee, role, known, known_value, state, data, kinds, values, _AX, _BX, _CX, _SI, spills,
            generation, here, evidence, told,
        )  # fmt: skip
        if elements != 0:
            kinds[_AX] = RESULT_POINTS_TO
            values[_AX] = elements
    return found, told, bad
