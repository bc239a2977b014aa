"""What a channel raises where it does not get through."""

from datetime import timedelta


class Undelivered(Exception):
    """It was not taken; the text says why, for whoever looks at the recipient.

    `is_gone`: there is nobody any more to take anything. `wait` is how long the other side asked
    to be left alone; nothing where it did not ask.
    """

    def __init__(self, text: str, *, is_gone: bool = False, wait: timedelta = timedelta()) -> None:
        super().__init__(text)
        self.is_gone = is_gone
        self.wait = wait
