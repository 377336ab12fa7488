"""Bytes by address: ELF cores, their notes and what lies where. Knows nothing of Go."""
