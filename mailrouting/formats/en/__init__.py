"""How dates and times are written: ISO 8601, to the minute, 24 hours."""
