"""One pass over ``.debug_info``: the entries right below the compile units, as rows of numbers.

Go's DWARF has no DW_AT_sibling, so every entry is stepped over; this costs about 20 ns each and is
the reason for a kernel (docs/decisions/0002-dwarf.md). Every read is checked against the end of its unit.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.binary.dwarf_constants import (
    AT_ABSTRACT_ORIGIN,
    AT_ADDR_BASE,
    AT_BYTE_SIZE,
    AT_CONST_VALUE,
    AT_GO_RUNTIME_TYPE,
    AT_HIGH_PC,
    AT_LOCATION,
    AT_LOW_PC,
    AT_NAME,
    AT_TYPE,
    COLUMNS,
    FORM_ADDR,
    FORM_ADDRX,
    FORM_REF_ADDR,
    FORM_STRP,
    OP_ADDR,
    SKIP_BLOCK1,
    SKIP_BLOCK2,
    SKIP_BLOCK4,
    SKIP_BLOCK_LEB,
    SKIP_CONSTANT,
    SKIP_DATA16,
    SKIP_OFFSET,
    SKIP_SLEB,
    SKIP_STRING,
    SKIP_UNIT_REFERENCE,
    SKIP_UNIT_REFERENCE_LEB,
    SKIP_UNKNOWN,
)
from heldby.jit import kernel


@kernel
def scan_units(info, units, code_rows, rows, specs, table):
    """Write the rows of all units; return ``(rows written, units done, bad units)``.

    Args:
        info: ``uint8[n]``, the section.
        units: ``int64[units, 6]``: header offset, first entry, end, offset size, first index in `code_rows`,
            how many codes that table has.
        code_rows: ``int32[...]``, abbreviation code to index in `rows`, -1 for none.
        rows: ``int64[abbreviations, 4]``: tag, has children, first spec, end of specs.
        specs: ``int64[specs, 4]``: attribute, form, how to skip it (``SKIP_*`` or a byte count), constant.
        table: ``int64[capacity, COLUMNS]``; the scan ends before a unit that does not fit any more.
    """
    count = 0
    bad = 0
    # Attributes of no size could make this take for ever; real ones are less than one per byte.
    budget = np.int64(8) * info.shape[0] + (1 << 20)
    capacity = table.shape[0]
    for unit in range(units.shape[0]):
        at_start = count
        base = units[unit, 0]
        position = units[unit, 1]
        end = units[unit, 2]
        offset_size = units[unit, 3]
        codes = units[unit, 4]
        code_count = units[unit, 5]
        depth = 0
        ok = True
        while position < end:
            entry = position
            code = np.int64(0)
            shift = 0
            while position < end and shift < 56:
                byte = np.int64(info[position])
                position += 1
                code |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            if code == 0:
                depth -= 1
                if depth <= 0:
                    break
                continue
            if code >= code_count or code_rows[codes + code] < 0:
                ok = False
                break
            row = code_rows[codes + code]
            tag = rows[row, 0]
            name = np.int64(-1)
            type_reference = np.int64(0)
            address = np.int64(0)
            address_form = np.int64(0)
            size = np.int64(-1)
            runtime_type = np.int64(0)
            high_is_address = False
            wanted = depth <= 1
            budget -= rows[row, 3] - rows[row, 2]
            if budget < 0:
                return at_start, unit, bad
            for spec in range(rows[row, 2], rows[row, 3]):
                attribute = specs[spec, 0]
                form = specs[spec, 1]
                skip = specs[spec, 2]
                start = position
                value = np.int64(0)
                if skip <= 8:
                    if position + skip > end:
                        ok = False
                        break
                    if wanted:
                        for k in range(skip):
                            value |= np.int64(info[position + k]) << (8 * k)
                    position += skip
                elif skip == SKIP_STRING:
                    while position < end and info[position] != 0:
                        position += 1
                    position += 1
                elif skip == SKIP_OFFSET:
                    if position + offset_size > end:
                        ok = False
                        break
                    for k in range(offset_size):
                        value |= np.int64(info[position + k]) << (8 * k)
                    position += offset_size
                elif skip == SKIP_CONSTANT:
                    value = specs[spec, 3]
                elif skip >= SKIP_UNIT_REFERENCE and skip <= SKIP_UNIT_REFERENCE + 8:
                    length = skip - SKIP_UNIT_REFERENCE
                    if position + length > end:
                        ok = False
                        break
                    for k in range(length):
                        value |= np.int64(info[position + k]) << (8 * k)
                    value += base
                    position += length
                elif skip == SKIP_DATA16:
                    position += 16
                elif skip == SKIP_UNKNOWN:
                    ok = False
                    break
                else:
                    # A LEB128 number, or a block and its length.
                    length = np.int64(0)
                    shift = 0
                    if skip >= SKIP_BLOCK1 and skip <= SKIP_BLOCK4:
                        width = 1 if skip == SKIP_BLOCK1 else 2 if skip == SKIP_BLOCK2 else 4
                        if position + width > end:
                            ok = False
                            break
                        for k in range(width):
                            length |= np.int64(info[position + k]) << (8 * k)
                        position += width
                    else:
                        byte = np.int64(0)
                        while position < end:
                            byte = np.int64(info[position])
                            position += 1
                            if shift < 63:
                                length |= (byte & 127) << shift
                            shift += 7
                            if byte < 128:
                                break
                        if skip == SKIP_SLEB and shift < 63 and byte & 64:
                            length -= np.int64(1) << shift
                    value = length
                    if skip == SKIP_UNIT_REFERENCE_LEB:
                        value += base
                    is_block = skip == SKIP_BLOCK_LEB or (skip >= SKIP_BLOCK1 and skip <= SKIP_BLOCK4)
                    if is_block:
                        if length < 0 or length > end - position:
                            ok = False
                            break
                        start = position
                        position += length
                        value = 0
                        if wanted and attribute == AT_LOCATION and length == 9 and info[start] == OP_ADDR:
                            for k in range(8):
                                address |= np.int64(info[start + 1 + k]) << (8 * k)
                            address_form = 1
                if position > end:
                    ok = False
                    break
                if not wanted:
                    continue
                if attribute == AT_NAME:
                    if skip == SKIP_STRING:
                        name = start
                    elif form == FORM_STRP:
                        name = -2 - value
                elif attribute == AT_TYPE or (attribute == AT_ABSTRACT_ORIGIN and type_reference == 0):
                    if form == FORM_REF_ADDR or skip >= SKIP_UNIT_REFERENCE:
                        type_reference = value
                elif attribute == AT_LOW_PC:
                    address = value
                    address_form = 1
                    if form != FORM_ADDR:
                        address_form = 2 if form >= FORM_ADDRX else 3
                elif attribute == AT_HIGH_PC:
                    size = value
                    high_is_address = form == FORM_ADDR
                elif attribute == AT_BYTE_SIZE:
                    size = value
                elif attribute == AT_GO_RUNTIME_TYPE:
                    runtime_type = value
                elif attribute == AT_CONST_VALUE:
                    address = value
                    address_form = 4
                elif attribute == AT_ADDR_BASE and depth == 0:
                    runtime_type = value
            if not ok:
                break
            if wanted:
                if count >= capacity:
                    return at_start, unit, bad
                if high_is_address:
                    size -= address
                table[count, 0] = entry
                table[count, 1] = tag
                table[count, 2] = unit
                table[count, 3] = name
                table[count, 4] = type_reference
                table[count, 5] = address
                table[count, 6] = address_form
                table[count, 7] = size
                table[count, 8] = runtime_type
                table[count, COLUMNS - 1] = depth
                count += 1
            if rows[row, 1] != 0:
                depth += 1
            elif depth == 0:
                break
        if not ok:
            bad += 1
    return count, units.shape[0], bad
