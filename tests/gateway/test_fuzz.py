"""Arbitrary octets in arbitrary pieces through the protocol (`make fuzz` tries many more).

Nothing raises but the parsers refuse; events, answers and what is stored are the same however the
octets are cut, and whichever of its two ways a session goes.
"""

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smtpd.command import CommandError, parse_bdat, parse_mail, parse_rcpt
from gateway.smtpd.notification import MAIL_KEYWORDS, RCPT_KEYWORDS
from gateway.smtpd.wire import Line, LineTooLong, Piece, Wire
from tests.gateway.hearsay import Heard, hold

COUNT = int(os.environ.get("FUZZ_EXAMPLES", "200"))
EXAMPLES = settings(max_examples=COUNT, deadline=None)
SESSIONS = settings(max_examples=max(COUNT // 8, 1), deadline=None)  # each costs as much as many
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
    *("SIZE=", "BODY=8BITMIME", "SMTPUTF8", "²", "LAST", " LAST", "0", "9" * 20),
    *("postmaster", "a@b.example", "xn--", "%", "!", "\0", "\r", "\n", "\x85", "\udcff", "é"),
)
# Wide of RFC 3461's grammar, and within it.
DSN_WORDS = (
    *("RET=HDRS", "RET=FULL", "RET=", "ENVID=", "ENVID=a+2B", "NOTIFY=", "NOTIFY=NEVER", ",NEVER"),
    *("NOTIFY=SUCCESS,FAILURE", ",DELAY", ",SUCCESS", "ORCPT=", "ORCPT=rfc822;", "ORCPT=utf-8;"),
    *("a+40b.example", "\\x{E9}", "\\x{", "+", "+4", " ", " ", ";", "=", "é", "\udcff", "x" * 101),
)
ARGUMENTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=25).map("".join)


DSN = st.lists(st.sampled_from(DSN_WORDS) | st.text(max_size=2), max_size=12).map("".join)
# A transaction with something wrong in it somewhere, or nothing.
SPOKEN = (
    *(b"EHLO x\r\n", b"HELO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<b@a.example>\r\n"),
    *(b"MAIL FROM:<> SIZE=9 RET=HDRS ENVID=x\r\n", b"RCPT TO:<b@a.example> NOTIFY=NEVER\r\n"),
    *(b"RCPT TO:<c@a.example>\r\n", b"RCPT TO:<postmaster>\r\n", b"RCPT TO:<b@a.example> X=\r\n"),
    *(b"DATA\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n", b"..\r\n", b"x\r\n", b"\r\n.\r\n", b"\r\n"),
    *(
        b"BDAT 3\r\nabc",
        b"BDAT 0\r\n",
        b"BDAT 4 LAST\r\n\r\n\r\n",
        b"BDAT x\r\n",
        b"BDAT 9 LAST\r\n",
    ),
    *(
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY a\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN\r\n",
        b"GET /\r\n",
    ),
    *(
        b"STARTTLS\r\n",
        b"EXPN a\r\n",
        b"\0\r\n",
        b"\xff\r\n",
        b"x" * 2100 + b"\r\n",
        b"\n",
        b"\r",
        b".",
    ),
)
OPENING = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<b@a.example>\r\n"
TALK = st.lists(st.sampled_from(SPOKEN) | st.binary(max_size=4), max_size=12).map(b"".join)
TALKS = TALK | TALK.map(lambda octets: OPENING + octets)
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
REPLY = re.compile(r"[2-5]\d\d[ -].*\Z")
ENHANCED = re.compile(r"\d\d\d[ -](\d)\.\d+\.\d+ ")


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


@EXAMPLES
@given(argument=ARGUMENTS)
def test_chunk_announced_is_read_or_refused(argument: str) -> None:
    with suppress(CommandError):
        octets, _is_last = parse_bdat(argument)
        assert 0 <= octets < 10**20


@EXAMPLES
@given(asked=DSN, smtputf8=...)
def test_what_is_asked_of_delivery_reports_is_kept_to_the_octet_or_refused(
    asked: str, smtputf8: bool
) -> None:
    with suppress(CommandError):
        check_kept(asked, parse_mail(f"FROM:<> {asked}", offers_dsn=True).dsn, MAIL_KEYWORDS)
    with suppress(CommandError):
        rcpt = parse_rcpt(f"TO:<a@b.example> {asked}", smtputf8=smtputf8, offers_dsn=True)
        check_kept(asked, rcpt.dsn, RCPT_KEYWORDS)


def check_kept(asked: str, kept: str, keywords: tuple[str, ...]) -> None:
    """Each parameter that is passed on was written so, and none of those asked for is lost."""
    values = [
        word.partition("=")[2] for word in asked.split(" ") if word.upper().startswith(keywords)
    ]
    assert sorted(values) == sorted(word.partition("=")[2] for word in kept.split(" ") if word)
    assert not CONTROL.search(kept)
    kept.encode()  # no half of a pair, which nobody could send


@pytest.fixture(scope="module", autouse=True)
def _said_to_nobody() -> Iterator[None]:
    """A line of the log for every decision of thousands of sessions would cost more than they."""
    with structlog.testing.capture_logs():
        yield


@SESSIONS
@given(octets=TALKS, cuts=CUTS)
def test_a_session_answers_the_same_however_it_is_told(octets: bytes, cuts: list[int]) -> None:
    one, other = (listen([octets], is_plain=is_plain) for is_plain in (True, False))
    assert listen(pieces(octets, cuts), is_plain=True) == one
    assert listen(pieces(octets, cuts), is_plain=False) == other
    assert [line[:9] for line in one.replies] == [line[:9] for line in other.replies]
    assert one.stored == other.stored
    check_answers(one)
    check_answers(other)


def listen(chunks: Iterable[bytes], *, is_plain: bool) -> Heard:
    with asyncio.Runner() as runner:
        return runner.run(hold(chunks, is_plain=is_plain))


def check_answers(heard: Heard) -> None:
    assert heard.errors == []
    for line in heard.replies:
        assert REPLY.match(line), line
        enhanced = ENHANCED.match(line)
        assert enhanced is None or enhanced[1] == line[0], line
