"""What a channel raises where it does not get through."""


class Undelivered(Exception):
    """It was not taken; the text says why, for whoever looks at the recipient."""
