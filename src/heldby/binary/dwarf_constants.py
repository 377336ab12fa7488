"""Numbers of DWARF 4 and 5 (section 7 of either standard) and Go's own attributes (cmd/internal/dwarf)."""

from __future__ import annotations

from typing import Final

TAG_ARRAY_TYPE: Final = 0x01
TAG_FORMAL_PARAMETER: Final = 0x05
TAG_LEXICAL_BLOCK: Final = 0x0B
TAG_MEMBER: Final = 0x0D
TAG_POINTER_TYPE: Final = 0x0F
TAG_COMPILE_UNIT: Final = 0x11
TAG_STRUCTURE_TYPE: Final = 0x13
TAG_SUBROUTINE_TYPE: Final = 0x15
TAG_TYPEDEF: Final = 0x16
TAG_UNION_TYPE: Final = 0x17
TAG_INLINED_SUBROUTINE: Final = 0x1D
TAG_SUBRANGE_TYPE: Final = 0x21
TAG_BASE_TYPE: Final = 0x24
TAG_CONST_TYPE: Final = 0x26
TAG_CONSTANT: Final = 0x27
TAG_SUBPROGRAM: Final = 0x2E
TAG_VARIABLE: Final = 0x34
TAG_VOLATILE_TYPE: Final = 0x35
TAG_UNSPECIFIED_TYPE: Final = 0x3B

AT_LOCATION: Final = 0x02
AT_NAME: Final = 0x03
AT_BYTE_SIZE: Final = 0x0B
AT_LOW_PC: Final = 0x11
AT_HIGH_PC: Final = 0x12
AT_CONST_VALUE: Final = 0x1C
AT_UPPER_BOUND: Final = 0x2F
AT_ABSTRACT_ORIGIN: Final = 0x31
AT_COUNT: Final = 0x37
AT_DATA_MEMBER_LOCATION: Final = 0x38
AT_TYPE: Final = 0x49
AT_RANGES: Final = 0x55
AT_ADDR_BASE: Final = 0x73
AT_RNGLISTS_BASE: Final = 0x74
AT_LOCLISTS_BASE: Final = 0x8C
AT_VARIABLE_PARAMETER: Final = 0x4B
AT_GO_KIND: Final = 0x2900
AT_GO_KEY: Final = 0x2901
AT_GO_ELEM: Final = 0x2902
AT_GO_EMBEDDED: Final = 0x2903
AT_GO_RUNTIME_TYPE: Final = 0x2904
AT_GO_CLOSURE_OFFSET: Final = 0x2907

FORM_ADDR: Final = 0x01
FORM_STRING: Final = 0x08
FORM_STRP: Final = 0x0E
FORM_REF_ADDR: Final = 0x10
FORM_INDIRECT: Final = 0x16
FORM_SEC_OFFSET: Final = 0x17
FORM_ADDRX: Final = 0x1B
FORM_IMPLICIT_CONST: Final = 0x21
FORM_LOCLISTX: Final = 0x22
FORM_RNGLISTX: Final = 0x23
FORM_LINE_STRP: Final = 0x1F

OP_ADDR: Final = 0x03
OP_REG0: Final = 0x50
OP_BREG0: Final = 0x70
OP_FBREG: Final = 0x91
OP_PIECE: Final = 0x93
OP_CALL_FRAME_CFA: Final = 0x9C

# How an attribute's value is stepped over. 0..8 is a count of bytes.
SKIP_STRING: Final = 16
SKIP_OFFSET: Final = 17
SKIP_CONSTANT: Final = 18
SKIP_LEB: Final = 19
SKIP_SLEB: Final = 20
SKIP_ADDRX_LEB: Final = 21
SKIP_BLOCK1: Final = 22
SKIP_BLOCK2: Final = 23
SKIP_BLOCK4: Final = 24
SKIP_BLOCK_LEB: Final = 25
SKIP_UNKNOWN: Final = 26
SKIP_DATA16: Final = 27
SKIP_UNIT_REFERENCE: Final = 32  # + 1, 2, 4 or 8 bytes, relative to the unit
SKIP_UNIT_REFERENCE_LEB: Final = 48

SKIPS: Final[dict[int, int]] = {
    0x01: 8,  # addr; units with another address size are not read
    0x03: SKIP_BLOCK2,
    0x04: SKIP_BLOCK4,
    0x05: 2,
    0x06: 4,
    0x07: 8,
    0x08: SKIP_STRING,
    0x09: SKIP_BLOCK_LEB,
    0x0A: SKIP_BLOCK1,
    0x0B: 1,
    0x0C: 1,
    0x0D: SKIP_SLEB,
    0x0E: SKIP_OFFSET,
    0x0F: SKIP_LEB,
    0x10: SKIP_OFFSET,
    0x11: SKIP_UNIT_REFERENCE + 1,
    0x12: SKIP_UNIT_REFERENCE + 2,
    0x13: SKIP_UNIT_REFERENCE + 4,
    0x14: SKIP_UNIT_REFERENCE + 8,
    0x15: SKIP_UNIT_REFERENCE_LEB,
    0x17: SKIP_OFFSET,
    0x18: SKIP_BLOCK_LEB,
    0x19: 0,
    0x1A: SKIP_LEB,
    0x1B: SKIP_ADDRX_LEB,
    0x1C: 4,
    0x1D: SKIP_OFFSET,
    0x1E: SKIP_DATA16,
    0x1F: SKIP_OFFSET,
    0x20: 8,
    0x21: SKIP_CONSTANT,
    0x22: SKIP_LEB,
    0x23: SKIP_LEB,
    0x24: 8,
    0x25: 1,
    0x26: 2,
    0x27: 3,
    0x28: 4,
    0x29: 1,
    0x2A: 2,
    0x2B: 3,
    0x2C: 4,
    0x1F20: SKIP_OFFSET,  # GNU_ref_alt
    0x1F21: SKIP_OFFSET,  # GNU_strp_alt
}

COLUMNS: Final = 10
"""Of a row of `dwarf_kernels.scan_units`:

entry, tag, unit, name, type, address, form of the address, size, runtime type, depth.
"""

ADDRESS_DIRECT: Final = 1
ADDRESS_INDEX: Final = 2
ADDRESS_CONSTANT: Final = 4
