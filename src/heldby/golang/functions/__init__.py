"""The function table that every Go program carries: functions, files, lines and inlined calls by address."""
