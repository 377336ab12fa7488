"""The executable: sections, symbols, DWARF, build information, code references. Never a process."""
