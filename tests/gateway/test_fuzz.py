"""Arbitrary octets in arbitrary pieces through the pure protocol (`make fuzz` tries many more).

Nothing raises but the parsers refuse; the events are the same however the octets are cut.
"""

import os
from collections.abc import Iterable
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smtpd.command import CommandError, parse_mail, parse_rcpt
from gateway.smtpd.wire import Line, LineTooLong, Piece, Wire

EXAMPLES = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "200")), deadline=None)
LINE_LIMIT = 40
# What a state machine of lines, dots and chunks stumbles over, if over anything.
TOKENS = (
    *(b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\n.\n", b"\r\n..\r\n", b"\r\n.\n", b"\r.\r\n"),
    *(b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 0 LAST\r\n", b"MAIL FROM:<a@b>\r\n", b"\0", b"\xff"),
    b"x" * (LINE_LIMIT + 1),
)
PARTS = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=6), max_size=30).map(b"".join)
OCTETS = PARTS | PARTS.map(lambda octets: b"DATA\r\n" + octets)
CUTS = st.just([1] * 400) | st.lists(st.integers(0, 12), max_size=200)
WORDS = (
    *("FROM:", "TO:", "<", ">", "@", '"', "\\", ".", "+", " ", "=", "[", "]", "IPv6:", ":", ","),
    *("SIZE=", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=", "NOTIFY=", "ORCPT=rfc822;", "²"),
    *("postmaster", "a@b.example", "xn--", "%", "!", "\0", "\r", "\n", "\x85", "\udcff", "é"),
)
ARGUMENTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=25).map("".join)


def pieces(octets: bytes, cuts: Iterable[int]) -> Iterable[bytes]:
    """The octets in pieces of these sizes, the rest at once."""
    for size in cuts:
        yield octets[:size]
        octets = octets[size:]
    yield octets


def events(chunks: Iterable[bytes]) -> list[object]:
    """What a session reads: a line that says DATA or BDAT starts what they start.

    Pieces of one message are joined, since where they are cut is not part of what was said.
    """
    wire = Wire(line_limit=LINE_LIMIT)
    found: list[object] = []
    content: list[bytes] = []
    for chunk in chunks:
        wire.feed(chunk)
        while (event := wire.next_event()) is not None:
            match event:
                case Piece(octets, is_last):
                    content.append(octets)
                    if is_last:
                        found.append(b"".join(content))
                        content = []
                case Line(octets):
                    found.append(event)
                    start(wire, octets)
                case LineTooLong():
                    found.append(event)
    return [*found, b"".join(content)]


def start(wire: Wire, line: bytes) -> None:
    verb, _, rest = line.partition(b" ")
    if verb == b"DATA":
        wire.start_content()
    elif verb == b"BDAT":
        size = rest.split()[:1]
        if (
            size and size[0].isdigit()
        ):  # else the session answers a syntax error, and no chunk comes
            wire.start_chunk(int(size[0]))


@EXAMPLES
@given(octets=OCTETS, cuts=CUTS)
def test_events_do_not_depend_on_how_the_octets_are_cut(octets: bytes, cuts: list[int]) -> None:
    assert events(pieces(octets, cuts)) == events([octets])


@EXAMPLES
@given(argument=ARGUMENTS, smtputf8=...)
def test_arguments_are_read_or_refused(argument: str, smtputf8: bool) -> None:
    with suppress(CommandError):
        parse_mail(f"FROM:{argument}")
    with suppress(CommandError):
        parse_mail(argument)
    with suppress(CommandError):
        parse_rcpt(f"TO:{argument}", smtputf8=smtputf8)
    with suppress(CommandError):
        parse_rcpt(argument, smtputf8=smtputf8)
