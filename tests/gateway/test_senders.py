"""Senders of the open Internet, who all speak SMTP in their own way: each must get its mail in.

Real programs where Debian has them beside one another; Exim, sendmail, qmail, Exchange and Gmail as
dialogues of what they say.
"""

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from gateway.models import Message
from gateway.pieces import octets_of
from tests.gateway.edge import sending_postfix
from tests.gateway.live import LiveGateway
from tests.gateway.peers import program
from tests.gateway.stage import Stage
from tests.waiting import wait_until

SENDER = "ann@sender.example"
CONTENT = (
    b"From: Ann <ann@sender.example>\r\nSubject: hello\r\nMessage-ID: <%s@sender.example>\r\n"
    b"\r\n.a dot\r\n\xc3\xa9\r\nlast line\r\n"
)


def stored(stage: Stage) -> list[bytes]:
    """The octets of this domain's messages, oldest first."""
    messages = Message.objects.filter(records__domain=stage.domain).order_by("id")
    return [octets_of(message) or b"" for message in messages]


# --- what others say -----------------------------------------------------------

# What is written at a time, and how the replies to it begin. {mail} and {rcpt} are usual commands,
# {size} and {content} the message's, {stuffed} is it with its dots doubled and ended.
DIALOGUES: dict[str, list[tuple[bytes, list[str]]]] = {
    "Exim, pipelined with CHUNKING": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (
            b"{mail}{rcpt}BDAT {size} LAST\r\n{content}",
            ["250", "250", "250 2.0.0 Ok: queued"],
        ),
        (b"QUIT\r\n", ["221"]),
    ],
    "Exim, header and body in chunks": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (b"MAIL FROM:<ann@sender.example> SIZE=1254\r\nRCPT TO:<{to}>\r\n", ["250", "250"]),
        (b"BDAT 40\r\n{first 40}", ["250"]),
        (b"BDAT {rest size} LAST\r\n{rest}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\r\n", ["221"]),
    ],
    "sendmail": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (
            b"MAIL From:<ann@sender.example> SIZE={size}\r\nRCPT To:<{to}>\r\nDATA\r\n",
            ["250", "250", "354"],
        ),
        (b"{stuffed}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\r\n", ["221"]),
    ],
    "qmail, without extensions": [
        (b"", ["220"]),
        (b"HELO mail.sender.example\r\n", ["250"]),
        (b"MAIL FROM:<ann@sender.example>\r\n", ["250"]),
        (b"RCPT TO:<{to}>\r\n", ["250"]),
        (b"DATA\r\n", ["354"]),
        (b"{stuffed}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\r\n", ["221"]),
    ],
    "Exchange, chunks of a fixed size": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (
            b"MAIL FROM:<ann@sender.example> SIZE=20480 BODY=8BITMIME\r\nRCPT TO:<{to}>\r\n",
            ["250", "250"],
        ),
        (b"BDAT 64\r\n{first 64}", ["250"]),
        (b"BDAT {rest 64 size} LAST\r\n{rest 64}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\r\n", ["221"]),
    ],
    "Exchange, everything at once": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (
            b"{mail}{rcpt}BDAT {size} LAST\r\n{content}RSET\r\nMAIL FROM:<> SIZE=1\r\nQUIT\r\n",
            ["250", "250", "250 2.0.0 Ok: queued", "250", "250", "221"],
        ),
    ],
    "Gmail, command by command": [
        (b"", ["220"]),
        (b"EHLO mail.sender.example\r\n", ["250"]),
        (b"MAIL FROM:<ann@sender.example> SIZE={size}\r\n", ["250"]),
        (b"RCPT TO:<{to}>\r\n", ["250"]),
        (b"BDAT {size} LAST\r\n", []),
        (b"{content}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\r\n", ["221"]),
    ],
    "a device that ends commands in LF": [
        (b"", ["220"]),
        (b"HELO printer\n", ["250"]),
        (b"MAIL FROM: <ann@sender.example>\n", ["250"]),
        (b"RCPT TO: <{to}>\n", ["250"]),
        (b"DATA\n", ["354"]),
        (b"{stuffed}", ["250 2.0.0 Ok: queued"]),
        (b"QUIT\n", ["221"]),
    ],
}


def filled(octets: bytes, to: str, content: bytes) -> bytes:
    """A dialogue's octets with the message's in place."""
    values = {
        b"mail": b"MAIL FROM:<ann@sender.example> SIZE={size} BODY=8BITMIME\r\n",
        b"rcpt": b"RCPT TO:<{to}>\r\n",
        b"to": to.encode(),
        b"size": b"%d" % len(content),
        b"content": content,
        b"stuffed": content.replace(b"\r\n.", b"\r\n..") + b".\r\n",
        b"first 40": content[:40],
        b"rest": content[40:],
        b"rest size": b"%d" % len(content[40:]),
        b"first 64": content[:64],
        b"rest 64": content[64:],
        b"rest 64 size": b"%d" % len(content[64:]),
    }
    for name, value in values.items():
        octets = octets.replace(b"{%s}" % name, value)
    return octets


@pytest.mark.parametrize("dialogue", DIALOGUES.values(), ids=DIALOGUES.keys())
def test_dialogue_brings_the_message_in(
    gateway: LiveGateway, stage: Stage, dialogue: list[tuple[bytes, list[str]]]
):
    stage.alias("hello")
    content = CONTENT % b"1"
    with gateway.open() as wire:
        for octets, expected in dialogue:
            wire.write(filled(octets, stage.address("hello"), content))
            for start in expected:
                assert wire.reply().startswith(start)
        assert wire.reply() == ""

    [octets] = stored(stage)
    assert octets.endswith(content)


# --- real programs ---------------------------------------------------------------


def run(*command: str, octets: bytes = b"") -> None:
    done = subprocess.run(command, input=octets, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.needs("msmtp")
@pytest.mark.parametrize("extra", [[], ["--domain=[127.0.0.1]"]], ids=["plain", "literal"])
def test_msmtp(gateway: LiveGateway, stage: Stage, extra: list[str]):
    stage.alias("hello")
    run(
        *(program("msmtp"), "--file=/dev/null", "--host=127.0.0.1", f"--port={gateway.port}"),
        *(f"--from={SENDER}", "--auth=off", "--tls=off", *extra, stage.address("hello")),
        octets=(CONTENT % b"1").replace(b"\r\n", b"\n"),
    )

    [octets] = stored(stage)
    assert octets.endswith(CONTENT % b"1")


@pytest.mark.needs("swaks")
@pytest.mark.parametrize("extra", [[], ["--pipeline"], ["--protocol", "SMTP"]], ids=" ".join)
def test_swaks(gateway: LiveGateway, stage: Stage, extra: list[str]):
    stage.alias("hello")
    run(
        *(program("swaks"), "--server", f"127.0.0.1:{gateway.port}", "--from", SENDER),
        *("--to", stage.address("hello"), *extra),
    )

    [octets] = stored(stage)
    assert b"X-Mailer: swaks" in octets


@pytest.mark.needs("postfix")
def test_generator_of_postfix(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    run(
        *(program("smtp-source"), "-m", "6", "-s", "3", "-l", "20000", "-f", SENDER),
        *("-t", stage.address("hello"), f"127.0.0.1:{gateway.port}"),
    )

    assert len(stored(stage)) == 6


@pytest.mark.needs("postfix", "root")
def test_postfix_relays_small_and_large_mail(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    large = b"Subject: large\r\n\r\n" + b"x" * 900 + b"\r\n"
    large += b".line\r\n" * 300_000
    with sending_postfix(gateway.port) as sender, smtplib.SMTP("127.0.0.1", sender.port) as client:
        for content in (CONTENT % b"1", large):
            client.sendmail(SENDER, [stage.address("hello")], content, ["BODY=8BITMIME"])
        wait_until(lambda: sender.is_empty, seconds=30)
        assert sender.log.count("status=sent (250 2.0.0 Ok: queued") == 2, sender.log

    small, big = sorted(stored(stage), key=len)
    assert small.endswith((CONTENT % b"1").partition(b"\r\n\r\n")[2])
    assert big.endswith(large.partition(b"\r\n\r\n")[2])


def test_python(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, stage.address("hello"), "grüße"
    message.set_content("Über alles\n.\n")
    with smtplib.SMTP("127.0.0.1", gateway.port) as client:
        client.send_message(message)
        client.sendmail(SENDER, stage.address("hello"), CONTENT % b"1")
        refused = client.sendmail(
            SENDER, [stage.address("hello"), stage.address("nobody")], CONTENT % b"2"
        )

    assert list(refused) == [stage.address("nobody")]
    assert len(stored(stage)) == 3


def test_python_over_tls(opened: Callable[..., LiveGateway], tls: ssl.SSLContext, stage: Stage):
    stage.alias("hello")
    gateway = opened({"tls": tls})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", gateway.port) as client:
        client.starttls(context=context)
        client.sendmail(SENDER, stage.address("hello"), CONTENT % b"1")

    [octets] = stored(stage)
    assert b" with ESMTPS id " in octets


def test_client_that_says_nothing_but_quit(gateway: LiveGateway):
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as connection:
        connection.sendall(b"QUIT\r\n")
        said = b"".join(iter(lambda: connection.recv(1000), b""))

    assert said.startswith(b"220 ")
    assert said.endswith(b"221 2.0.0 Bye\r\n")
