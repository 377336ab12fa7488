"""Decoding one amd64 instruction: where it ends, what it is, which registers and memory it names."""

# mypy: ignore-errors
# ruff: noqa: PLR1714 (plain comparisons compile faster)
from __future__ import annotations

import numpy as np

from heldby.binary.amd64_opcodes import (
    HAS_MODRM,
    IMM_GROUP3_8,
    IMM_GROUP3_Z,
    IMMEDIATE_SHIFT,
    PREFIX,
    WRITES_MANY,
    WRITES_RM,
)
from heldby.jit import inline_kernel

KEY, FLAGS, WIDE, MOD, REG, RM, BASE, DISPLACEMENT, RELATIVE, INDEXED = range(10)
"""Of the decoded instruction: 256 * map + opcode (plus `VECTOR_KEY`), flags of `amd64_opcodes`, REX.W,
mod (-1 without a ModRM byte), reg, rm (or the register in the opcode, AX where it has none), base register
when there is no index (-1), displacement, whether that is relative to the next instruction, base register when
there is an index (-1).
"""

VECTOR_KEY = 1 << 12


@inline_kernel
def read32(code, position):
    """Return the signed 32-bit number at `position`."""
    value = np.int64(0)
    for k in range(4):
        value |= np.int64(code[position + k]) << (8 * k)
    return (value ^ 0x80000000) - 0x80000000


@inline_kernel
def decode(code, position, limit, table, immediates, fields):
    """Decode the instruction at `position`; return where it ends, or -1 when it is none or passes `limit`.

    Args:
        code: ``uint8[n]``.
        position: of the first byte, below `limit` <= n.
        limit: where the code ends.
        table: ``uint16[4, 256]`` of `amd64_opcodes.opcode_table`.
        immediates: ``int64[16, 3]`` of `amd64_opcodes.immediate_sizes`.
        fields: ``int64[16]``, receives what the names above say.
    """
    first = np.int64(code[position])
    mode = 0
    opcode = np.int64(0)
    while position < limit:
        opcode = np.int64(code[position])
        position += 1
        if table[0, opcode] >> IMMEDIATE_SHIFT != PREFIX:
            break
        if opcode == 0x66:
            mode = 1
    rex = np.int64(0)
    if opcode & 0xF0 == 0x40 and position < limit:
        rex = opcode
        opcode = np.int64(code[position])
        position += 1
    if rex & 8:
        mode = 2
    opcode_map = 0
    vector = 0
    if opcode == 0x0F and position < limit:
        opcode_map = 1
        opcode = np.int64(code[position])
        position += 1
        if opcode & 0xFD == 0x38 and position < limit:
            opcode_map = 2 if opcode == 0x38 else 3
            opcode = np.int64(code[position])
            position += 1
    elif opcode == 0xC5 or opcode == 0xC4 or opcode == 0x62:
        extra = 1 if opcode == 0xC5 else 2 if opcode == 0xC4 else 3
        if position + extra >= limit:
            return -1
        vector = VECTOR_KEY
        payload = np.int64(code[position])
        rex = (~payload >> 5) & 7
        opcode_map = min(payload & 31 if extra == 2 else payload & 7, 3)
        if extra == 1:
            rex &= 4
            opcode_map = 1
        elif extra == 3 and payload & 7 > 3:
            opcode_map = 2
        if opcode_map == 0:
            return -1
        opcode = np.int64(code[position + extra])
        position += extra + 1
    flags = np.int64(table[opcode_map, opcode])
    immediate = flags >> IMMEDIATE_SHIFT
    if immediate >= PREFIX:
        return -1
    mod = np.int64(-1)
    reg = np.int64(0)
    rm = np.int64(0)
    base = np.int64(-1)
    indexed = np.int64(-1)
    displacement = np.int64(0)
    relative = 0
    if flags & HAS_MODRM:
        if position + 1 >= limit and position >= limit:
            return -1
        modrm = np.int64(code[position])
        position += 1
        mod = modrm >> 6
        reg = ((modrm >> 3) & 7) | ((rex & 4) << 1)
        rm = (modrm & 7) | ((rex & 1) << 3)
        width = 4 if mod == 2 else mod & 1
        if mod == 3:
            width = 0
        elif modrm & 7 == 4:
            if position >= limit:
                return -1
            sib = np.int64(code[position])
            position += 1
            if mod == 0 and sib & 7 == 5:
                width = 4
            elif sib & 0x38 == 0x20 and rex & 2 == 0:
                base = (sib & 7) | ((rex & 1) << 3)
            else:
                indexed = (sib & 7) | ((rex & 1) << 3)
        elif mod == 0 and modrm & 7 == 5:
            relative = 1
            width = 4
        else:
            base = rm
        if position + width > limit:
            return -1
        if width == 1:
            displacement = np.int64(np.int8(code[position]))
        elif width == 4:
            displacement = read32(code, position)
        position += width
    elif opcode_map == 1 or opcode >= 0x50:
        rm = (opcode & 7) | ((rex & 1) << 3)
    if not (immediate == IMM_GROUP3_8 or immediate == IMM_GROUP3_Z) or reg & 7 < 2:
        position += immediates[immediate, mode]
    if position > limit:
        return -1
    key = opcode | opcode_map << 8 | vector
    if _only_reads(key, reg & 7) or (key == 0x17E and first == 0xF3):  # MOVQ xmm, xmm/m64
        flags &= ~WRITES_RM
    if (key | 1 == 0xFF and reg & 7 < 2) or (key | 1 == 0xF7 and reg & 7 < 4):
        flags &= ~WRITES_MANY  # INC, DEC; TEST, NOT, NEG
    fields[KEY] = key
    fields[FLAGS] = flags
    fields[WIDE] = rex & 8
    fields[MOD] = mod
    fields[REG] = reg
    fields[RM] = rm
    fields[BASE] = base
    fields[DISPLACEMENT] = displacement
    fields[RELATIVE] = relative
    fields[INDEXED] = indexed
    return position


@inline_kernel
def _only_reads(key, extension):
    """Whether a group's member, unlike others of it, does not write its operand."""
    if key >= 0x80 and key <= 0x83:
        return extension == 7  # CMP
    if key == 0xF6 or key == 0xF7:
        return extension < 2 or extension > 3  # TEST, MUL, DIV
    if key == 0xFE or key == 0xFF:
        return extension > 1  # CALL, JMP, PUSH
    return key == 0x1BA and extension == 4  # BT
