"""Offsets of the runtime's structures by release: the tables (JSON), the door to them, and how releases differ."""
