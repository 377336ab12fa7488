"""The generator of the layout tables, and the Go program that it compiles."""
