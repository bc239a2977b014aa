"""What goes over the wire after DATA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.content import stuff


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"", b".\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".a\r\n..\r\n", b"..a\r\n...\r\n.\r\n"),
        (b"a.\r\n.", b"a.\r\n..\r\n.\r\n"),
        (b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"),
        (b"a\r\r\nb\n\r\n", b"a\r\n\r\nb\r\n\r\n.\r\n"),
    ],
)
def test_stuffed_content(content: bytes, wire: bytes) -> None:
    assert stuff(content) == wire


LINES = st.lists(st.binary(max_size=9).map(lambda line: line.translate(None, b"\r\n")))


@given(LINES)
def test_next_hop_reads_the_stored_lines_and_no_end_before_the_last(lines: list[bytes]) -> None:
    wire = stuff(b"".join(line + b"\r\n" for line in lines))
    *sent, dot, empty = wire.split(b"\r\n")
    assert (dot, empty) == (b".", b"")
    assert b"." not in sent
    assert [line.removeprefix(b".") if line[:1] == b"." else line for line in sent] == lines


@given(st.binary(max_size=30).map(lambda octets: octets.replace(b"x", b"\r").replace(b"y", b"\n.")))
def test_no_octets_end_the_message_early(octets: bytes) -> None:
    wire = stuff(octets)
    assert wire.endswith(b".\r\n")
    assert wire.count(b"\n") == wire.count(b"\r") == wire.count(b"\r\n")
    assert b"." not in wire.split(b"\r\n")[:-2]
