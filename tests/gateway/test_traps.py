"""What other servers fell for, as dialogues over a real socket: each must end in its own reply.

`{domain}` is a hosted domain with the alias `hello`; octets outside ASCII are written as Latin-1.
"""

import pytest

from gateway.routing import replies
from tests.gateway.live import LiveGateway
from tests.gateway.stage import Stage

# What is sent after EHLO, and the replies to it, in order.
TRAPS = {
    "unclosed path": ([b"MAIL FROM:<a@b.example"], ["501 5.5.4"]),
    "comment": ([b"MAIL FROM:<a@b.example> (x)"], ["501 5.5.4"]),
    "missing brackets": ([b"MAIL FROM:a@b.example"], ["501 5.5.4"]),
    "over-long local part": ([b"MAIL FROM:<" + b"a" * 65 + b"@b.example>"], ["553 5.1.7"]),
    "two dots": ([b"MAIL FROM:<a..b@b.example>"], ["553 5.1.7"]),
    "UTF-8 without SMTPUTF8": ([b"MAIL FROM:<\xc3\xa4@b.example>"], ["553 5.6.7"]),
    "invalid UTF-8": ([b"MAIL FROM:<\xff@b.example> SMTPUTF8"], ["553 5.1.7"]),
    "superscript size": ([b"MAIL FROM:<a@b.example> SIZE=\xc2\xb2"], ["501 5.5.4"]),
    "BINARYMIME, not offered": ([b"MAIL FROM:<a@b.example> BODY=BINARYMIME"], ["501 5.5.4"]),
    "NUL in a command": ([b"MAIL FROM:<a@b.example>\0"], ["500 5.5.2"]),
    "bare CR in a command": ([b"NOOP\rMAIL FROM:<a@b.example>"], ["500 5.5.2"]),
    "empty line": ([b""], ["500 5.5.2"]),
    "verb that is no text": ([b"\xff\xfe"], ["500 5.5.2"]),
    "NUL for a helo": ([b"EHLO a\0b"], ["500 5.5.2"]),
    "escape in a helo": ([b"EHLO \x1b[31m"], ["501 5.5.4"]),
    "PROXY from a stranger": ([b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25"], ["500 5.5.2"]),
    "invalid UTF-8 recipient": (
        [b"MAIL FROM:<>", b"RCPT TO:<hello\xff@{domain}>"],
        ["250 2.1.0", "553 5.1.3"],
    ),
    "null recipient": ([b"MAIL FROM:<>", b"RCPT TO:<>"], ["250 2.1.0", "553 5.1.3"]),
    "AUTH on an MX": ([b"AUTH PLAIN AGEAYg=="], ["502 5.5.1"]),
}


@pytest.mark.parametrize(("lines", "expected"), TRAPS.values(), ids=TRAPS.keys())
def test_trap_is_answered_with_its_reply_and_the_session_goes_on(
    gateway: LiveGateway, stage: Stage, lines: list[bytes], expected: list[str]
):
    stage.alias("hello")
    domain = stage.domain.name.encode()
    with gateway.connect() as wire:
        for line, start in zip(lines, expected, strict=True):
            wire.write(line.replace(b"{domain}", domain) + b"\r\n")
            assert wire.reply().startswith(start)
        assert wire.command("NOOP").startswith("250")


@pytest.mark.parametrize("verb", ["GET", "POST", "connect"])
def test_verb_of_http_ends_the_session_at_once(gateway: LiveGateway, stage: Stage, verb: str):
    stage.alias("hello")
    with gateway.connect() as wire:
        smuggled = f"MAIL FROM:<>\r\nRCPT TO:<{stage.address('hello')}>\r\nDATA\r\nx\r\n.\r\n"
        wire.write(f"{verb} / HTTP/1.1\r\nHost: localhost\r\n\r\n{smuggled}".encode())

        assert wire.reply() == str(replies.NOT_SMTP)
        assert wire.reply() == ""


def test_content_of_any_octets_is_kept(gateway: LiveGateway, stage: Stage):
    """NUL, 8 bits without BODY=8BITMIME, invalid UTF-8: stored as they came."""
    from tests.gateway.test_smtpd import message_of, stored_octets

    stage.alias("hello")
    content = b"Subject: \xff\xfe\r\nMessage-ID: <\0@x>\r\n\r\n\0\x80\r\n"

    reply = gateway.send(stage.address("hello"), content)

    assert stored_octets(message_of(reply)).endswith(content)
