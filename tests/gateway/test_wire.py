"""The wire's state machine: the same events however the octets are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtpd.wire import Content, ContentTooLarge, Event, Line, LineTooLong, Wire

LIMIT = 40


def events_of(chunks: list[bytes], *, content_limit: int = 200) -> list[Event]:
    """Every event of a conversation in which a line `DATA` starts content."""
    wire, events = Wire(line_limit=LIMIT), []
    for chunk in chunks:
        wire.feed(chunk)
        while (event := wire.next_event()) is not None:
            events.append(event)
            if event == Line(b"DATA"):
                wire.start_content(content_limit)
    return events


CASES = {
    "5321-2.3.8 line": (b"NOOP\r\n", [Line(b"NOOP")]),
    "5321-2.3.8 bare LF ends a command": (b"NOOP\n", [Line(b"NOOP")]),
    "5321-2.3.8 bare CR makes a line unreadable": (b"RSET\rNOOP\r\nA\r\n", [Line(b""), Line(b"A")]),
    "5321-4.1.2 NUL makes a line unreadable": (b"NOOP \0\r\n", [Line(b"")]),
    "long and unreadable": (b"\r" + b"x" * 41 + b"\r\n", [LineTooLong()]),
    "2920 pipelined": (b"A\r\nB\r\nC", [Line(b"A"), Line(b"B")]),
    "5321-4.5.3.1.4 too long": (b"x" * 41 + b"\r\nA\r\n", [LineTooLong(), Line(b"A")]),
    "5321-4.1.1.4 message": (b"DATA\r\nx\r\n.\r\n", [Line(b"DATA"), Content(b"x\r\n")]),
    "5321-4.1.1.4 lone dot": (b"DATA\r\n.\r\nA\r\n", [Line(b"DATA"), Content(b""), Line(b"A")]),
    "5321-4.5.2 dots": (b"DATA\r\n..\r\n.x\r\n.\r\n", [Line(b"DATA"), Content(b".\r\nx\r\n")]),
    "smuggling by LF": (b"DATA\r\nx\n.\nA\r\n.\r\n", [Line(b"DATA"), Content(b"x\n.\nA\r\n")]),
    "smuggling by LF dot CR LF": (
        b"DATA\r\nx\n.\r\nA\r\n.\r\n",
        [Line(b"DATA"), Content(b"x\n.\r\nA\r\n")],
    ),
    "smuggling by CR": (b"DATA\r\nx\r.\rA\r\n.\r\n", [Line(b"DATA"), Content(b"x\r.\rA\r\n")]),
    "too large": (
        b"DATA\r\n" + b"x" * 300 + b"\r\n.\r\nA\r\n",
        [Line(b"DATA"), ContentTooLarge(), Line(b"A")],
    ),
}


@pytest.mark.parametrize(("octets", "expected"), CASES.values(), ids=CASES.keys())
def test_octets_become_events(octets: bytes, expected: list[Event]):
    assert events_of([octets]) == expected


@pytest.mark.parametrize(("octets", "expected"), CASES.values(), ids=CASES.keys())
def test_single_octets_become_the_same_events(octets: bytes, expected: list[Event]):
    assert events_of([octets[i : i + 1] for i in range(len(octets))]) == expected


PIECES = st.sampled_from(
    [
        b"DATA\r\n",
        b".\r\n",
        b"x" * 39,
        b"x",
        b"\r\n",
        b"\r",
        b"\n",
        b".",
        b"x" * 50,
        b"\r\n.\r\n",
        b"NOOP\r\n",
        b"\0",
    ]
)


@given(octets=st.lists(PIECES).map(b"".join), cuts=st.lists(st.integers(0, 500)))
def test_cutting_octets_changes_no_event(octets: bytes, cuts: list[int]):
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    chunks = [octets[a:b] for a, b in pairwise(places)]

    assert events_of(chunks, content_limit=60) == events_of([octets], content_limit=60)


LINES = st.lists(st.binary(max_size=20).map(lambda octets: octets.translate(None, b"\r\n")))


@given(lines=LINES)
def test_stuffed_content_comes_back_unstuffed(lines: list[bytes]):
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)

    events = events_of([b"DATA\r\n" + stuffed + b".\r\n"], content_limit=10**6)

    assert events[1] == Content(content)


def test_nothing_fed_before_clear_is_seen_after_it():
    wire = Wire(line_limit=LIMIT)
    wire.feed(b"MAIL FROM:<injected@example.com>\r\nRCPT")
    wire.clear()
    wire.feed(b"NOOP\r\n")

    assert wire.next_event() == Line(b"NOOP")
