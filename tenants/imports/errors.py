"""What ends the reading of a whole file."""


class Unreadable(ValueError):
    """Nothing of the file can be taken; the sentence says how to mend it."""
