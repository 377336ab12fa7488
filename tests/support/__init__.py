"""What the tests stand on: Go toolchains, built programs, and processes that are always ended."""
