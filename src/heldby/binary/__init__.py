"""The executable: sections, symbols, DWARF, build information, code references. Knows nothing of a process."""
