"""One pass over amd64 code: references to data, and what the code tells of the types of globals.

Instructions are decoded one after the other from each function's entry, so an operand is never taken for
an opcode. Beside the length the pass follows what few instructions do to registers and spilled words
(LEAQ x(SB), MOVQ x(SB), MOVQ between registers and the stack, CALL); anything else forgets what it writes.
"""

# mypy: ignore-errors
# ruff: noqa: PLR1714 (plain comparisons compile faster)
from __future__ import annotations

import numpy as np

from heldby.binary.amd64_opcodes import (
    HAS_MODRM,
    IMM_8,
    IMM_16,
    IMM_32,
    IMM_ADDRESS,
    IMM_ENTER,
    IMM_GROUP3_8,
    IMM_GROUP3_Z,
    IMM_V,
    IMM_Z,
    IMMEDIATE_SHIFT,
    INVALID,
    WRITES_REG,
    WRITES_RM,
)
from heldby.binary.code_constants import (
    ADDRESS,
    ADDRESS_TAKEN,
    JOINS,
    LOADED,
    NIL,
    RELATION_IS,
    RESULT_IS,
    RESULT_SLICE_OF,
    ROLE_BARRIER,
    SPILL_WORDS,
    STORE,
    UNKNOWN,
)
from heldby.binary.code_kernels import arrive, call, find_function, forget, jump_to, note_return, tell
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
    table,
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
        state: ``int64[1]``: descriptor of the runtime's own map struct, 0 until it is found.
        table: ``uint8[4, 256]`` of `amd64_opcodes.opcode_table`.
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
    found = 0
    told = 0
    bad = 0
    current = -1
    generation = 0
    limit = size
    changed = True
    alive = True
    position = 0
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
            limit = size
            if current + 1 < entries.shape[0] and entries[current + 1] - base < size:
                limit = entries[current + 1] - base
        slot = position & (JOINS - 1)
        if joins[slot, 0] == here:
            arrive(joins, slot, alive, kinds, values)
            alive = True
        start = position
        # Prefixes.
        narrow = False
        rex = 0
        which = 0
        opcode = 0
        vector = False
        while position < limit:
            opcode = np.int64(code[position])
            position += 1
            if opcode == 0x66:
                narrow = True
            elif not (
                opcode == 0xF2
                or opcode == 0xF3
                or opcode == 0xF0
                or opcode == 0x2E
                or opcode == 0x3E
                or opcode == 0x64
                or opcode == 0x65
                or opcode == 0x26
                or opcode == 0x36
                or opcode == 0x67
            ):
                break
        if opcode >= 0x40 and opcode <= 0x4F and position < limit:
            rex = opcode
            opcode = np.int64(code[position])
            position += 1
        if opcode == 0x0F and position < limit:
            which = 1
            opcode = np.int64(code[position])
            position += 1
            if (opcode == 0x38 or opcode == 0x3A) and position < limit:
                which = 2 if opcode == 0x38 else 3
                opcode = np.int64(code[position])
                position += 1
        elif opcode == 0xC5 and position + 1 < limit:
            vector = True
            rex = 4 if code[position] < 128 else 0
            which = 1
            opcode = np.int64(code[position + 1])
            position += 2
        elif opcode == 0xC4 and position + 2 < limit:
            vector = True
            rex = (~np.int64(code[position]) >> 5) & 7
            which = min(np.int64(code[position] & 31), 3)
            opcode = np.int64(code[position + 2])
            position += 3
        elif opcode == 0x62 and position + 3 < limit:
            vector = True
            rex = (~np.int64(code[position]) >> 5) & 7
            which = min(np.int64(code[position] & 7), 3)
            if (code[position] & 7) > 3:
                which = 2
            opcode = np.int64(code[position + 3])
            position += 4
        flags = np.int64(table[which, opcode])
        immediate = flags >> IMMEDIATE_SHIFT
        if immediate == INVALID or (vector and which == 0):
            bad += 1
            position = start + 1
            continue
        wide = rex & 8
        mod = -1
        reg = 0
        rm = 0
        sib_base = -1
        displacement = np.int64(0)
        relative = False
        if flags & HAS_MODRM:
            if position >= limit:
                bad += limit - start
                position = limit
                continue
            modrm = np.int64(code[position])
            position += 1
            mod = modrm >> 6
            reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
            rm = (modrm & 7) | ((rex & 1) << 3)
            width = 0
            if mod != 3:
                if modrm & 7 == 4 and position < limit:
                    sib = np.int64(code[position])
                    position += 1
                    if sib & 0x38 == 0x20 and rex & 2 == 0:
                        sib_base = (sib & 7) | ((rex & 1) << 3)
                    if mod == 0 and sib & 7 == 5:
                        width = 4
                        sib_base = -1
                elif mod == 0 and modrm & 7 == 5:
                    relative = True
                    width = 4
                if mod == 1:
                    width = 1
                elif mod == 2:
                    width = 4
            if position + width <= limit:
                if width == 1:
                    displacement = np.int64(np.int8(code[position]))
                elif width == 4:
                    displacement = (
                        np.int64(code[position])
                        | np.int64(code[position + 1]) << 8
                        | np.int64(code[position + 2]) << 16
                        | np.int64(code[position + 3]) << 24
                    )
                    displacement = (displacement ^ 0x80000000) - 0x80000000
            position += width
        if immediate == IMM_8:
            position += 1
        elif immediate == IMM_Z:
            position += 2 if narrow else 4
        elif immediate == IMM_32:
            position += 4
        elif immediate == IMM_16:
            position += 2
        elif immediate == IMM_V:
            position += 8 if wide else 2 if narrow else 4
        elif immediate == IMM_ADDRESS:
            position += 8
        elif immediate == IMM_ENTER:
            position += 3
        elif immediate == IMM_GROUP3_8 and reg & 7 < 2:
            position += 1
        elif immediate == IMM_GROUP3_Z and reg & 7 < 2:
            position += 2 if narrow else 4
        if position > limit:
            bad += limit - start
            position = limit
            continue
        target = base + position + displacement
        in_data = relative and target >= low and target < high
        group = which == 0 and (opcode == 0x80 or opcode == 0x81 or opcode == 0x83)
        writes = flags & WRITES_RM != 0
        if which == 0:
            if group and reg & 7 == 7:
                writes = False
            elif (opcode == 0xF6 or opcode == 0xF7) and (reg & 7 < 2 or reg & 7 > 3):
                writes = False
            elif (opcode == 0xFE or opcode == 0xFF) and reg & 7 > 1:
                writes = False
        elif which == 1 and opcode == 0xBA and reg & 7 == 4:
            writes = False
        elif which == 1 and opcode == 0x7E and code[start] == 0xF3:
            writes = False  # MOVQ xmm, xmm/m64
        if in_data and found < references.shape[0]:
            references[found, 0] = target
            references[found, 1] = here
            references[found, 2] = STORE if writes else 0
            if which == 0 and opcode == 0x8D:
                references[found, 2] = ADDRESS_TAKEN
            found += 1
        # What is known after this instruction.
        word = -1
        if mod != 3 and sib_base == _SP and displacement >= 0 and displacement & 7 == 0:
            if displacement < 8 * SPILL_WORDS:
                word = displacement >> 3
        if which == 0 and not vector and mod >= 0:
            if opcode == 0x89 and wide:
                if mod == 3:
                    kinds[rm] = kinds[reg]
                    values[rm] = values[reg]
                elif word >= 0:
                    spills[word, 0] = generation
                    spills[word, 1] = kinds[reg]
                    spills[word, 2] = values[reg]
                elif in_data and kinds[reg] >= RESULT_IS and kinds[reg] <= RESULT_SLICE_OF:
                    told = tell(evidence, told, target, kinds[reg] - RESULT_IS + RELATION_IS, values[reg])
                continue
            if opcode == 0x8B and wide:
                kind, value = np.int64(UNKNOWN), np.int64(0)
                if mod == 3:
                    kind, value = kinds[rm], values[rm]
                elif in_data:
                    kind, value = np.int64(LOADED), target
                elif word >= 0 and spills[word, 0] == generation:
                    kind, value = spills[word, 1], spills[word, 2]
                kinds[reg] = kind
                values[reg] = value
                continue
            if opcode == 0x8D:
                kinds[reg] = ADDRESS if relative else UNKNOWN
                values[reg] = target
                continue
        if mod >= 0:
            if flags & WRITES_REG:
                kinds[reg] = UNKNOWN
            if writes and mod == 3:
                kinds[rm] = UNKNOWN
            elif writes and word >= 0:
                spills[word, 1] = UNKNOWN
            if vector and which == 2 and opcode >= 0xF0:
                kinds[rm] = UNKNOWN
                forget(kinds)
            if which == 0 and (opcode == 0xF6 or opcode == 0xF7) and reg & 7 > 3:
                kinds[_AX] = UNKNOWN
                kinds[_DX] = UNKNOWN
            if which == 1 and (opcode == 0xB0 or opcode == 0xB1):
                kinds[_AX] = UNKNOWN
        elif which == 0:
            low_register = (opcode & 7) | ((rex & 1) << 3)
            if (opcode >= 0x58 and opcode <= 0x5F) or (opcode >= 0xB0 and opcode <= 0xBF):
                kinds[low_register] = UNKNOWN
            elif opcode >= 0x91 and opcode <= 0x97:
                kinds[low_register] = UNKNOWN
                kinds[_AX] = UNKNOWN
            elif opcode < 0x40 or opcode == 0x98 or opcode == 0x99:
                kinds[_AX] = UNKNOWN
                if opcode == 0x99:
                    kinds[_DX] = UNKNOWN
            elif opcode >= 0xA4 and opcode <= 0xAF and opcode != 0xA8 and opcode != 0xA9:
                kinds[_AX] = UNKNOWN
                kinds[_CX] = UNKNOWN
                kinds[_SI] = UNKNOWN
                kinds[_DI] = UNKNOWN
        elif which == 1 and opcode >= 0xC8 and opcode <= 0xCF:
            kinds[(opcode & 7) | ((rex & 1) << 3)] = UNKNOWN
        if which == 0 and opcode == 0x31 and mod == 3 and rm == reg:
            kinds[rm] = NIL
        if which == 0 and opcode == 0xC3 and current >= 0:
            note_return(learnt, current, kinds[_AX], values[_AX])
        jump = which == 0 and (opcode == 0xE9 or opcode == 0xEB or opcode == 0xC3 or opcode == 0xCC)
        jump = jump or (which == 1 and opcode == 0x0B and mod < 0)
        jump = jump or (which == 0 and opcode == 0xFF and (reg & 7 == 4) and mod >= 0)
        branch = which == 0 and (opcode == 0xE9 or opcode == 0xEB or (opcode >= 0x70 and opcode <= 0x7F))
        branch = branch or (which == 1 and opcode >= 0x80 and opcode <= 0x8F and not vector)
        if branch:
            distance = np.int64(np.int8(code[position - 1]))
            if which == 1 or opcode == 0xE9:
                distance = (
                    np.int64(code[position - 4])
                    | np.int64(code[position - 3]) << 8
                    | np.int64(code[position - 2]) << 16
                    | np.int64(code[position - 1]) << 24
                )
                distance = (distance ^ 0x80000000) - 0x80000000
            to = position + distance
            if distance >= 0 and to < limit:
                slot = to & (JOINS - 1)
                jump_to(joins, slot, base + to, kinds, values)
        if jump:
            # What follows is padding, or is reached by jumps: the next known one says what it knows.
            alive = False
            forget(kinds)
            continue
        if which == 0 and opcode == 0xFF and (reg & 7 == 2):
            forget(kinds)
            continue
        if which != 0 or opcode != 0xE8:
            continue
        # A direct call.
        callee = (
            np.int64(code[position - 4])
            | np.int64(code[position - 3]) << 8
            | np.int64(code[position - 2]) << 16
            | np.int64(code[position - 1]) << 24
        )
        callee = ((callee ^ 0x80000000) - 0x80000000) + base + position
        function = find_function(entries, callee)
        role = np.int64(0)
        known = np.int64(UNKNOWN)
        known_value = np.int64(0)
        if function >= 0:
            role, known, known_value = roles[function], results[function, 0], results[function, 1]
        if role == ROLE_BARRIER:
            kinds[11] = UNKNOWN
            continue
        told = call(
            callee, role, known, known_value, state, data, kinds, values, _AX, _BX, _CX, _SI, spills,
            generation, here, evidence, told,
        )  # fmt: skip
    return found, told, bad
