"""How long Go values are as text, JSON or packed; and looking for text in memory."""
