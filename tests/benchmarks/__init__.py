"""The benchmark rig: whether it would notice a wrong answer, a lost message, a missed promise."""
