"""What an instruction decoder must know of each amd64 opcode: its length and what it writes.

Four maps of 256 opcodes (one byte, 0F, 0F 38, 0F 3A), from the opcode maps of Intel's manual, volume 2,
appendix A, in 64-bit mode. VEX and EVEX instructions use the last three.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

HAS_MODRM: Final = 1
WRITES_RM: Final = 2  # register or memory named by mod and rm
WRITES_REG: Final = 4  # a general register named by reg, or by the opcode when there is no ModRM byte
JUMPS: Final = 8  # a relative jump, taken or not
ENDS: Final = 16  # what follows is not reached from here
WRITES_MANY: Final = 32  # registers that no operand names
IMMEDIATE_SHIFT: Final = 8
"""From bit 8 on: what immediate follows."""
IMM_NONE: Final = 0
IMM_8: Final = 1
IMM_Z: Final = 2  # 4 bytes, 2 with the operand-size prefix
IMM_16: Final = 3
IMM_V: Final = 4  # 8 bytes with REX.W, else as IMM_Z
IMM_ADDRESS: Final = 5  # 8 bytes
IMM_ENTER: Final = 6  # 3 bytes
IMM_GROUP3_8: Final = 7  # 1 byte when reg is 0 or 1 (TEST)
IMM_GROUP3_Z: Final = 8
IMM_32: Final = 9  # 4 bytes, whatever the prefixes
PREFIX: Final = 14
INVALID: Final = 15


def opcode_table() -> NDArray[np.uint16]:
    """Return ``uint16[4, 256]``: flags, and the kind of immediate in the upper half."""
    table = np.full((4, 256), HAS_MODRM, np.uint16)
    _one_byte(table[0])
    _two_bytes(table[1])
    table[3] |= IMM_8 << IMMEDIATE_SHIFT
    table[2, 0xF0:0xF8] |= WRITES_REG  # MOVBE, CRC32, BMI
    table[3, [0x14, 0x15, 0x16, 0x17]] |= WRITES_RM  # PEXTR*
    table[3, 0xF0] |= WRITES_REG  # RORX
    table[0, [*range(0x70, 0x80), 0xE9, 0xEB]] |= JUMPS
    table[1, 0x80:0x90] |= JUMPS
    table[0, [0xE9, 0xEB, 0xC3, 0xCC]] |= ENDS
    table[1, 0x0B] |= ENDS
    # MUL and DIV, CDQ, string instructions, exchanges with AX, indirect calls; CMPXCHG, CPUID, RDTSC; BMI.
    table[0, [0xF6, 0xF7, 0x98, 0x99, *range(0x91, 0x98), *range(0xA4, 0xA8), *range(0xAA, 0xB0)]] |= (
        WRITES_MANY
    )
    table[0, 0xFF] |= WRITES_MANY
    table[1, [0xA2, 0xB0, 0xB1, 0xC7, *range(0x30, 0x38), 0x01]] |= WRITES_MANY
    table[2, 0xF0:0xF8] |= WRITES_MANY
    return table


def immediate_sizes() -> NDArray[np.int64]:
    """Return ``int64[16, 3]`` bytes by kind: plain, with the operand-size prefix, with REX.W."""
    sizes = np.zeros((16, 3), np.int64)
    for kind, bytes_ in {
        IMM_8: (1, 1, 1),
        IMM_Z: (4, 2, 4),
        IMM_16: (2, 2, 2),
        IMM_V: (4, 2, 8),
        IMM_ADDRESS: (8, 8, 8),
        IMM_ENTER: (3, 3, 3),
        IMM_GROUP3_8: (1, 1, 1),
        IMM_GROUP3_Z: (4, 2, 4),
        IMM_32: (4, 4, 4),
    }.items():
        sizes[kind] = bytes_
    return sizes


def _set(row: NDArray[np.uint16], opcodes: range | list[int], flags: int = 0, immediate: int = 0) -> None:
    row[list(opcodes)] = flags | immediate << IMMEDIATE_SHIFT


def _one_byte(row: NDArray[np.uint16]) -> None:
    plain = HAS_MODRM
    for base in range(0, 0x40, 8):  # ADD OR ADC SBB AND SUB XOR CMP
        writes_rm, writes_reg = (WRITES_RM, WRITES_REG) if base != 0x38 else (0, 0)
        _set(row, [base, base + 1], plain | writes_rm)
        _set(row, [base + 2, base + 3], plain | writes_reg)
        _set(row, [base + 4], writes_reg, IMM_8)
        _set(row, [base + 5], writes_reg, IMM_Z)
        _set(row, [base + 6, base + 7], 0, INVALID)
    _set(row, [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3], 0, PREFIX)
    _set(row, range(0x50, 0x58))
    _set(row, range(0x58, 0x60), WRITES_REG)
    _set(row, [0x60, 0x61, 0x82, 0x9A, 0xCE, 0xD4, 0xD5, 0xD6, 0xEA], 0, INVALID)
    _set(row, [0x63], plain | WRITES_REG)
    _set(row, [0x68], 0, IMM_Z)
    _set(row, [0x69], plain | WRITES_REG, IMM_Z)
    _set(row, [0x6A], 0, IMM_8)
    _set(row, [0x6B], plain | WRITES_REG, IMM_8)
    _set(row, range(0x6C, 0x70))
    _set(row, range(0x70, 0x80), 0, IMM_8)
    _set(row, [0x80, 0x83], plain | WRITES_RM, IMM_8)
    _set(row, [0x81], plain | WRITES_RM, IMM_Z)
    _set(row, [0x84, 0x85], plain)
    _set(row, [0x86, 0x87], plain | WRITES_RM | WRITES_REG)
    _set(row, [0x88, 0x89, 0x8C, 0x8F], plain | WRITES_RM)
    _set(row, [0x8A, 0x8B, 0x8D], plain | WRITES_REG)
    _set(row, range(0x90, 0x9A))
    _set(row, range(0x9B, 0xA0))
    _set(row, range(0xA0, 0xA4), 0, IMM_ADDRESS)
    _set(row, range(0xA4, 0xA8))
    _set(row, [0xA8], 0, IMM_8)
    _set(row, [0xA9], 0, IMM_Z)
    _set(row, range(0xAA, 0xB0))
    _set(row, range(0xB0, 0xB8), WRITES_REG, IMM_8)
    _set(row, range(0xB8, 0xC0), WRITES_REG, IMM_V)
    _set(row, [0xC0, 0xC1], plain | WRITES_RM, IMM_8)
    _set(row, [0xC2, 0xCA], 0, IMM_16)
    _set(row, [0xC3, 0xC9, 0xCB, 0xCC, 0xCF, 0xD7, 0xF1, 0xF4, 0xF5])
    _set(row, [0xC6], plain | WRITES_RM, IMM_8)
    _set(row, [0xC7], plain | WRITES_RM, IMM_Z)
    _set(row, [0xC8], 0, IMM_ENTER)
    _set(row, [0xCD], 0, IMM_8)
    _set(row, range(0xD0, 0xD4), plain | WRITES_RM)
    _set(row, range(0xD8, 0xE0), plain)
    _set(row, range(0xE0, 0xE8), 0, IMM_8)
    _set(row, [0xE8, 0xE9], 0, IMM_32)
    _set(row, [0xEB], 0, IMM_8)
    _set(row, range(0xEC, 0xF0))
    _set(row, [0xF6], plain | WRITES_RM, IMM_GROUP3_8)
    _set(row, [0xF7], plain | WRITES_RM, IMM_GROUP3_Z)
    _set(row, range(0xF8, 0xFE))
    _set(row, [0xFE, 0xFF], plain | WRITES_RM)


def _two_bytes(row: NDArray[np.uint16]) -> None:
    plain = HAS_MODRM
    _set(row, [*range(0x05, 0x0A), 0x0B, 0x0E, *range(0x30, 0x38), 0x77, 0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA])
    _set(row, [0x04, 0x0A, 0x0C, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, *range(0x3B, 0x40)], 0, INVALID)
    _set(row, [0x0F, 0x70, 0x71, 0x72, 0x73, 0xC2, 0xC4, 0xC6], plain, IMM_8)
    _set(row, [0xC5], plain | WRITES_REG, IMM_8)
    _set(row, [0xA4, 0xAC], plain | WRITES_RM, IMM_8)
    _set(row, [0xBA], plain | WRITES_RM, IMM_8)
    # Vector stores: MOVUPS MOVLPS MOVHPS MOVAPS MOVNT*, MOVD/MOVQ to r/m, MOVDQ
    _set(row, [0x11, 0x13, 0x17, 0x29, 0x2B, 0x7E, 0x7F, 0xD6, 0xE7, 0xC3], plain | WRITES_RM)
    _set(row, range(0x80, 0x90), 0, IMM_32)
    _set(row, range(0x90, 0xA0), plain | WRITES_RM)
    _set(row, range(0xC8, 0xD0), WRITES_REG)
    _set(row, [*range(0x40, 0x50), 0x2C, 0x2D, 0x50, 0xAF, 0xB6, 0xB7, 0xB8], plain | WRITES_REG)
    _set(row, [0xBC, 0xBD, 0xBE, 0xBF, 0xD7, 0x02, 0x03], plain | WRITES_REG)
    _set(row, [0xA5, 0xAD, 0xAB, 0xB3, 0xBB, 0xB0, 0xB1], plain | WRITES_RM)
    _set(row, [0xC0, 0xC1], plain | WRITES_RM | WRITES_REG)
