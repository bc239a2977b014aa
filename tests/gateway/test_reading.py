"""A message as text: decoded where it can be, bounded always, and nothing in it acts."""

import time
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reading import mime, read
from gateway.reading.words import decode_words, html_to_text, show


def message(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"Subject: x", *fields, b"", body])


def multipart(*parts: bytes, boundary: bytes = b"b1", kind: bytes = b"mixed") -> bytes:
    inner = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    field = b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"'
    return message(b"preamble\r\n" + inner + b"--" + boundary + b"--\r\nepilogue", field)


PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\ngr\xc3\xbc\xc3\x9fe"
HTML = b"Content-Type: text/html\r\n\r\n<p>hello <b>you</b></p>"
FILE = (
    b"Content-Type: application/pdf\r\n"
    b'Content-Disposition: attachment; filename="=?utf-8?Q?Rechnung_=E2=82=AC.pdf?="\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nAAAA"
)

CASES = [
    (message(b"plain"), "plain"),
    (message(b"caf=C3=A9=\r\n!", b"Content-Transfer-Encoding: quoted-printable"), "café!"),
    (
        message(b64encode("naïve".encode()), b"Content-Transfer-Encoding: BASE64"),
        "naïve",
    ),
    (message(b"caf\xe9", b"Content-Type: text/plain; charset=iso-8859-1"), "café"),
    (message(b"caf\xe9", b"Content-Type: text/plain; charset=zlib_codec"), "caf\\xe9"),
    (message(b"caf\xe9", b"Content-Type: text/plain; charset=x-unknown"), "caf\\xe9"),
    (message(b"x", b"Content-Type: nonsense"), "x"),
    (message(b"<p>only</p>", b"Content-Type: text/html"), "only"),
    (multipart(PLAIN, HTML, kind=b"alternative"), "grüße"),
    (multipart(HTML), "hello you"),
    (multipart(multipart(PLAIN, boundary=b"in").removeprefix(b"Subject: x\r\n")), "grüße"),
    (multipart(b"\r\nno header"), "no header"),
    (b"no header at all", ""),
    (b"", ""),
]


@pytest.mark.parametrize(("octets", "text"), CASES)
def test_the_text_is_decoded(octets: bytes, text: str) -> None:
    assert read(octets).text == text


def test_fields_are_decoded_in_order_and_unfolded() -> None:
    octets = message(b"", b"Received: one\r\n\ttwo", b"From: =?iso-8859-1?q?J=F6?= <j@x.example>")
    assert read(octets).header == [
        ("Subject", "x"),
        ("Received", "one two"),
        ("From", "Jö <j@x.example>"),
    ]


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("=?utf-8?B?w6k=?= =?utf-8?Q?_x?=", "é x"),
        ("=?utf-8?Q?a?= and =?utf-8?Q?b?=", "a and b"),
        ("=?utf-8?B?!?=", ""),
        ("=?nope?Q?=FF?=", "\\xff"),
        ("plain", "plain"),
    ],
)
def test_encoded_words_are_read(coded: str, text: str) -> None:
    assert decode_words(coded) == text


def test_attachments_are_named_and_not_shown() -> None:
    found = read(multipart(PLAIN, FILE, b"Content-Type: image/png\r\n\r\n\x89PNG"))
    assert found.text == "grüße"
    assert [(each.name, each.kind, each.size_octets) for each in found.attachments] == [
        ("Rechnung €.pdf", "application/pdf", 4),
        ("without a name", "image/png", 4),
    ]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (b"filename=plain.pdf", "plain.pdf"),
        (b"filename*=UTF-8''Rechnung%20%E2%82%AC.pdf", "Rechnung €.pdf"),
        (b"filename*=iso-8859-1'de'gr%FC%DFe.txt", "grüße.txt"),
        (b"filename=cut.pdf; filename*=utf-8''whole%2Epdf", "whole.pdf"),
        (b'filename*0="a long"; filename*1=" name.pdf"', "a long name.pdf"),
        (b'filename*1=".pdf"; filename*0="turned"', "turned.pdf"),
        (b"filename*0*=utf-8''%E2%82; filename*1*=%AC; filename*2=\"%20.pdf\"", "€%20.pdf"),
        (b"filename*0=kept; filename*2=lost", "kept"),
        (b"filename*=%41.pdf", "A.pdf"),
        (b"filename*=unicode_escape''%5Cx41", "\\x41"),
        (b"filename*=utf-8''%FF.pdf", "�.pdf"),
        (b"filename*=utf-8''a%1B%E2%80%AEfdp.exe", "a\\u001b\\u202efdp.exe"),
        (b"filename*1=lost; size=3", "without a name"),
        (b"filename*x=y", "without a name"),
    ],
)
def test_file_names_are_read_in_every_form(parameters: bytes, name: str) -> None:
    """RFC 2231 §3 and §4, and what is none of it."""
    part = b"Content-Disposition: attachment; " + parameters + b"\r\n\r\nx"
    assert [each.name for each in read(multipart(part)).attachments] == [name]


def test_a_multipart_without_boundary_is_shown_as_it_came() -> None:
    found = read(message(b"raw \xff\x00", b"Content-Type: multipart/mixed"))
    assert found.is_raw
    assert found.text.endswith("raw \\xff\\u0000")
    assert found.notes == [mime.NO_BOUNDARY]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a<script>alert(1)</script>b", "ab"),
        ("a<SCRIPT>alert(1)</SCRIPT >b", "ab"),
        ("a<style>p{}</style>b<script>", "ab"),
        ("<!-- hidden <p>x</p> -->seen", "seen"),
        (
            '<a href="https://evil.example/x">bank.example</a>',
            "[https://evil.example/x] bank.example",
        ),
        ("&lt;b&gt; &amp;amp;", "<b> &amp;"),
        ("<header>seen</header><title>not</title>", "seen"),
        ("one<br>two<p>three</p>", "one\ntwo\nthree"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<img src=https://track.example/p.gif>text", "text"),
    ],
)
def test_html_is_turned_to_text(source: str, text: str) -> None:
    assert html_to_text(source) == text


def test_nothing_hides_in_what_is_shown() -> None:
    assert show("a\x1b[2Jb\u202egpj\u200b.exe\r\nx\ty") == (
        "a\\u001b[2Jb\\u202egpj\\u200b.exe\nx\ty"
    )


def test_parts_depth_and_text_are_bounded() -> None:
    many = multipart(*[b"Content-Type: image/png\r\n\r\nx"] * (mime.MOST_PARTS + 50))
    assert len(read(many).attachments) == mime.MOST_PARTS
    assert mime.TOO_MANY in read(many).notes
    deep = PLAIN
    for level in range(mime.MOST_DEPTH + 2):
        deep = multipart(deep, boundary=b"level%d" % level)
    assert read(deep).text == ""
    assert mime.TOO_DEEP in read(deep).notes
    long = read(message(b"x" * (mime.MOST_TEXT_OCTETS + 10)))
    assert len(long.text) == mime.MOST_TEXT_OCTETS
    assert long.notes == [mime.CUT]


def nested(levels: int, *, boundary: bytes = b"x") -> bytes:
    """Containers with nothing but containers in them."""
    if not levels:
        return b""
    kind = b"\r\n--%b\r\nContent-Type: multipart/mixed; boundary=%b%d\r\n\r\n%b"
    inner = [(b"%b%d" % (boundary, n), n) for n in range(30)]
    return b"".join(
        kind % (boundary, boundary, n, nested(levels - 1, boundary=name)) for name, n in inner
    )


BOMBS = {
    "containers": message(nested(3), b"Content-Type: multipart/mixed; boundary=x"),
    "numbers": message(b"&#" + b"9" * 1_000_000 + b";", b"Content-Type: text/html"),
    "angles": message(b"<" * 2_000_000, b"Content-Type: text/html"),
    "comments": message(b"<!-- " * 400_000, b"Content-Type: text/html"),
    "scripts": message(b"<script><style>" * 100_000, b"Content-Type: text/html"),
    "entities": message(b"&#x" * 600_000, b"Content-Type: text/html"),
    "hrefs": message(b"<a href href href" * 100_000, b"Content-Type: text/html"),
    "words": message(b"", b"Subject: " + b"=?utf-8?q?" * 100_000),
    "fields": b"a:b\r\n" * 400_000,
    "parameters": message(b"", b"Content-Type: multipart/x" + b';a="' * 100_000),
    "delimiters": multipart(*[b"\r\nx"] * 200_000),
    "blank lines": message(b"\r\n \r\n" * 300_000, b"Content-Type: text/html"),
    "equals": message(b"=" * 2_000_000, b"Content-Transfer-Encoding: quoted-printable"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_message_keeps_the_reader_busy(name: str) -> None:
    began = time.process_time()
    read(BOMBS[name])
    assert time.process_time() - began < 1


@given(st.binary(max_size=2000))
def test_any_octets_can_be_read(octets: bytes) -> None:
    read(octets)
    read(multipart(octets, octets))
