"""What an SMTP server says, read however its octets come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.reply import LONGEST_REPLY_OCTETS, BadReply, Reply, ReplyReader


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 2.0.0 Ok\r\n", [Reply(250, "2.0.0 Ok")]),
        (b"250\r\n", [Reply(250, "")]),
        (b"250 lf alone\n", [Reply(250, "lf alone")]),
        (b"250-a\r\n250-b\r\n250 c\r\n", [Reply(250, "a\nb\nc")]),
        (b"250 a\r\n354 b\r\n", [Reply(250, "a"), Reply(354, "b")]),
        (b"550 \xff\r\n", [Reply(550, "\N{REPLACEMENT CHARACTER}")]),
        (b"250 not yet", []),
        (b"250-not yet\r\n", []),
    ],
)
def test_replies_are_read(octets: bytes, expected: list[Reply]) -> None:
    assert list(ReplyReader().feed(octets)) == expected


@pytest.mark.parametrize(
    "octets", [b"garbage\r\n", b"\r\n", b"25 x\r\n", b"250x\r\n", b"150 x\r\n", b"999 x\r\n"]
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    with pytest.raises(BadReply):
        list(ReplyReader().feed(octets))


def test_what_was_said_before_it_was_said():
    heard = ReplyReader().feed(b"250 2.0.0 queued\r\ngarbage\r\n")

    assert next(heard) == Reply(250, "2.0.0 queued")
    with pytest.raises(BadReply):
        next(heard)


@pytest.mark.parametrize("octets", [b"250 " + b"x" * 100, b"250-x\r\n" * 20])
def test_reply_without_an_end_is_refused(octets: bytes) -> None:
    with pytest.raises(BadReply):
        feed_again(ReplyReader(), octets, times=LONGEST_REPLY_OCTETS // len(octets) + 2)


def feed_again(reader: ReplyReader, octets: bytes, *, times: int) -> None:
    for _ in range(times):
        list(reader.feed(octets))


REPLIES = st.lists(
    st.tuples(
        st.integers(200, 599),
        st.lists(st.text("abc 2.-", max_size=9).map(str.strip), min_size=1, max_size=3),
    ),
    max_size=5,
)


@given(REPLIES, st.lists(st.integers(0, 60)))
def test_replies_are_the_same_however_the_octets_are_cut(
    said: list[tuple[int, list[str]]], cuts: list[int]
) -> None:
    wire = "".join(
        f"{code}{' ' if number == len(lines) else '-'}{line}\r\n"
        for code, lines in said
        for number, line in enumerate(lines, 1)
    ).encode()
    ends = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    reader = ReplyReader()
    pieces = [wire[start:end] for start, end in pairwise(ends)]
    heard = [reply for piece in pieces for reply in reader.feed(piece)]
    assert heard == [Reply(code, "\n".join(lines)) for code, lines in said]
