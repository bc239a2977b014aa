"""Takes out of a message what only we may say in it, so that nobody says it in our name."""

import re
from collections.abc import Iterable

from gateway.inspection import authentication_results


def fields_named(name: bytes) -> re.Pattern[bytes]:
    """Whole header fields whose name is this pattern, with the lines that continue them.

    The lines are looked ahead for, so that a header that was cut in the midst of a line end is not
    tried in every way.
    """
    return re.compile(
        rb"^(?:%b)[ \t]*+:(?=((?:[^\r\n]+|\r\n[ \t])*))\1(?:\r\n|\Z)" % name,
        re.IGNORECASE | re.MULTILINE,
    )


# What the marks of deliveries say.
MARKS = fields_named(rb"x-sender-authentication")


def strip(header: bytes, server: str, claimed: Iterable[re.Pattern[bytes]] = ()) -> bytes | None:
    """A header section without what claims to be ours; None where nothing does.

    That are marks, results of authentication in the name of `server`, and these fields.
    """
    unforged = authentication_results.strip(header, server)
    kept = header if unforged is None else unforged
    for fields in (MARKS, *claimed):
        kept = fields.sub(b"", kept)
    return None if len(kept) == len(header) else kept
