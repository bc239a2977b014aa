"""A message as it goes over the wire after DATA (RFC 5321 §4.5.2): dots doubled, a dot at the end.

Lines leave as they were stored. A bare CR or LF, which the gateway does not let in, becomes CRLF,
so that no next hop can take it for the end of the message.
"""

import re

_BARE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def stuff(content: bytes) -> bytes:
    """The octets to send after 354, the final dot included."""
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        content = _BARE_END.sub(b"\r\n", content)
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    first = b"." if content.startswith(b".") else b""
    last = b"" if not content or content.endswith(b"\r\n") else b"\r\n"
    return b"".join((first, stuffed, last, b".\r\n"))
