"""Structure layouts of the Go runtime, one JSON file per minor release."""
