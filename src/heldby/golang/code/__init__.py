"""What the program's code tells: types it allocates, closures, variables, statements that store."""
