"""The wire's state machine: the same events however the octets are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtpd.wire import Event, Line, LineTooLong, Piece, Wire

LIMIT = 40


def events_of(chunks: list[bytes]) -> list[Event]:
    """Every event of a conversation in which a line `DATA` starts content, `BDAT n` a chunk.

    Pieces of one run are put together, since how it is cut is the network's choice.
    """
    wire, events = Wire(line_limit=LIMIT), []
    for chunk in chunks:
        wire.feed(chunk)
        while (event := wire.next_event()) is not None:
            _append(events, event)
            if event == Line(b"DATA"):
                wire.start_content()
            elif isinstance(event, Line) and event.octets.startswith(b"BDAT "):
                wire.start_chunk(int(event.octets[5:] or b"0"))
    return events


def _append(events: list[Event], event: Event) -> None:
    before = events[-1] if events else None
    if isinstance(event, Piece) and isinstance(before, Piece) and not before.is_last:
        events[-1] = Piece(before.octets + event.octets, event.is_last)
    else:
        events.append(event)


def message(octets: bytes) -> Piece:
    return Piece(octets, is_last=True)


CASES = {
    "5321-2.3.8 line": (b"NOOP\r\n", [Line(b"NOOP")]),
    "5321-2.3.8 bare LF ends a command": (b"NOOP\n", [Line(b"NOOP")]),
    "5321-2.3.8 bare CR makes a line unreadable": (b"RSET\rNOOP\r\nA\r\n", [Line(b""), Line(b"A")]),
    "5321-4.1.2 NUL makes a line unreadable": (b"NOOP \0\r\n", [Line(b"")]),
    "long and unreadable": (b"\r" + b"x" * 41 + b"\r\n", [LineTooLong()]),
    "2920 pipelined": (b"A\r\nB\r\nC", [Line(b"A"), Line(b"B")]),
    "5321-4.5.3.1.4 too long": (b"x" * 41 + b"\r\nA\r\n", [LineTooLong(), Line(b"A")]),
    "5321-4.1.1.4 message": (b"DATA\r\nx\r\n.\r\n", [Line(b"DATA"), message(b"x\r\n")]),
    "5321-4.1.1.4 lone dot": (b"DATA\r\n.\r\nA\r\n", [Line(b"DATA"), message(b""), Line(b"A")]),
    "5321-4.5.2 dots": (b"DATA\r\n..\r\n.x\r\n.\r\n", [Line(b"DATA"), message(b".\r\nx\r\n")]),
    "5321-4.1.1.4 goes on": (b"DATA\r\nx\r\n.", [Line(b"DATA"), Piece(b"x", is_last=False)]),
    "3030-2 chunk": (
        b"BDAT 5\r\na\r\n.\nA\r\n",
        [Line(b"BDAT 5"), message(b"a\r\n.\n"), Line(b"A")],
    ),
    "3030-2 chunk is not unstuffed": (
        b"BDAT 5\r\n\r\n..xA\r\n",
        [Line(b"BDAT 5"), message(b"\r\n..x"), Line(b"A")],
    ),
    "3030-2 empty chunk": (b"BDAT 0\r\nA\r\n", [Line(b"BDAT 0"), message(b""), Line(b"A")]),
}
# Between "x" and "A", none of these ends content; only what stands after them does.
SMUGGLING = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\n.\r", b"\r.\n",
    b"\n\n.\n\n", b"\r\r\n.\r", b"\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\0\n.\r\n",
    b"\r\n.\r\0\n", b"\r\n .\r\n", b"\r\n. \r\n", b"\r\n..\r\n", b"\x85.\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
]  # fmt: skip


@pytest.mark.parametrize("ending", SMUGGLING, ids=repr)
def test_nothing_but_crlf_dot_crlf_ends_content(ending: bytes):
    smuggled = b"DATA\r\nx" + ending + b"MAIL FROM:<a@b>\r\n"

    [first, content, last] = events_of([smuggled + b".\r\nNOOP\r\n"])

    assert [first, last] == [Line(b"DATA"), Line(b"NOOP")]
    expected = (b"x" + ending + b"MAIL FROM:<a@b>\r\n").replace(b"\r\n.", b"\r\n")
    assert content == message(expected)


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
        b"BDAT 7\r\n",
        b"BDAT 0\r\n",
    ]
)


@given(octets=st.lists(PIECES).map(b"".join), cuts=st.lists(st.integers(0, 500)))
def test_cutting_octets_changes_no_event(octets: bytes, cuts: list[int]):
    places = sorted({min(cut, len(octets)) for cut in cuts} | {0, len(octets)})
    chunks = [octets[a:b] for a, b in pairwise(places)]

    assert events_of(chunks) == events_of([octets])


LINES = st.lists(st.binary(max_size=20).map(lambda octets: octets.translate(None, b"\r\n")))


@given(lines=LINES)
def test_stuffed_content_comes_back_unstuffed(lines: list[bytes]):
    content = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)

    events = events_of([b"DATA\r\n" + stuffed + b".\r\n"])

    assert events[1] == message(content)


def test_nothing_fed_before_clear_is_seen_after_it():
    wire = Wire(line_limit=LIMIT)
    wire.feed(b"MAIL FROM:<injected@example.com>\r\nRCPT")
    wire.clear()
    wire.feed(b"NOOP\r\n")

    assert wire.next_event() == Line(b"NOOP")
