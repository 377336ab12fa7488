"""Where it is stored: the statements that keep what a holder holds."""
