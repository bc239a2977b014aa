"""Real SMTP in, other people's servers out: what arrives is what was sent, to the octet.

The servers write lines with LF alone; nothing else may differ below the lines put on top.
"""

import re
import ssl
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from gateway.transports import inbox
from tenants.models import Target
from tests.e2e import mail
from tests.e2e.stack import BOUNCE_DOMAIN, HOSTNAME, Stack
from tests.gateway import peers
from tests.gateway.stage import Stage
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("socket_enabled")

TRACE = ["Delivered-To", "X-Delivery-ID", "X-Loop-Guard", "Received"]


@dataclass(frozen=True, slots=True)
class Dump:
    """A message as smtp-sink wrote it down: its own lines, then what it was given."""

    sender: str
    recipients: list[str]
    octets: bytes

    @classmethod
    def read(cls, path: Path) -> "Dump":
        own, octets = re.split(rb"(?<=\n)(?=Delivered-To: )", path.read_bytes(), maxsplit=1)
        arguments = re.findall(r"^X-(Mail|Rcpt)-Args: <([^>]*)>", own.decode(), re.MULTILINE)
        return cls(
            sender=next(path for kind, path in arguments if kind == "Mail"),
            recipients=[path for kind, path in arguments if kind == "Rcpt"],
            octets=octets.removesuffix(b"\n"),  # an empty line of the sink's own
        )


def as_sent(octets: bytes) -> bytes:
    """What a store of LF lines holds of these octets."""
    return octets.replace(b"\r\n", b"\n")


def names_on_top(stored: bytes, content: bytes) -> list[str]:
    """The names of the header lines above the content, which has to be the rest."""
    assert stored.endswith(as_sent(content))
    top = stored.removesuffix(as_sent(content)).decode()
    return re.findall(r"^([!-9;-~]+): ", top, re.MULTILINE)


@pytest.mark.needs("postfix")
def test_postfix_sink_gets_the_octets_that_were_sent(stack: Stack, stage: Stage) -> None:
    with peers.smtp_sink() as (port, folder):
        box = stage.mailbox("box@store.example", port=port)
        stage.alias("out", Target(kind="mailbox", mailbox=box))
        reply = mail.send(stack.smtp_port, stage.address("Out+Detail"), mail.OCTETS)
        assert reply.startswith("250 2.0.0 ")
        [delivery] = mail.delivered(stage.address("Out+Detail"))
        [path] = folder.iterdir()
        dump = Dump.read(path)
    assert (dump.sender, dump.recipients) == (mail.SENDER, ["box@store.example"])
    assert names_on_top(dump.octets, mail.OCTETS) == TRACE
    assert f"Delivered-To: {stage.address('Out+Detail')}\n".encode() in dump.octets
    assert f"X-Delivery-ID: {delivery.id}\n".encode() in dump.octets


@pytest.mark.needs("dovecot")
def test_dovecot_maildir_holds_the_octets_that_were_sent(stack: Stack, stage: Stage) -> None:
    with peers.dovecot() as (port, folder):
        box = stage.mailbox("box@store.example", port=port, protocol="lmtp")
        stage.alias("out", Target(kind="mailbox", mailbox=box))
        mail.send(stack.smtp_port, stage.address("out"), mail.OCTETS)
        mail.delivered(stage.address("out"))
        [path] = (folder / "box@store.example" / "new").iterdir()
        stored = path.read_bytes()
    # Return-Path, Delivered-To and Received are Dovecot's; ours stand below.
    names = names_on_top(stored, mail.OCTETS)
    assert names[0] == "Return-Path"
    assert names[-len(TRACE) :] == TRACE


@pytest.mark.needs("postfix")
def test_bounce_of_a_forward_finds_the_original_sender(stack: Stack, stage: Stage) -> None:
    stage.alias("away", Target(kind="forward", forward_to="jo@elsewhere.example"))
    bounce = b"From: MAILER-DAEMON@elsewhere.example\r\nSubject: failed\r\n\r\nno such user\r\n"
    with peers.smtp_sink(stack.smarthost_port) as (_, folder):
        mail.send(stack.smtp_port, stage.address("away"), mail.OCTETS)
        mail.delivered(stage.address("away"))
        [path] = folder.iterdir()
        forwarded = Dump.read(path)
        assert forwarded.recipients == ["jo@elsewhere.example"]
        assert forwarded.sender.startswith("SRS0=")
        assert forwarded.sender.endswith(f"@{BOUNCE_DOMAIN}")
        assert names_on_top(forwarded.octets, mail.OCTETS) == TRACE

        assert mail.send(stack.smtp_port, forwarded.sender, bounce, sender="").startswith("250 ")
        mail.delivered(forwarded.sender)
        [back] = [Dump.read(each) for each in folder.iterdir() if each != path]
    assert (back.sender, back.recipients) == ("", [mail.SENDER])
    assert names_on_top(back.octets, bounce) == TRACE


def test_return_path_that_was_not_issued_here_is_refused(stack: Stack) -> None:
    forged = f"SRS0=aaaaaaaa=aa=victim.example=vic@{BOUNCE_DOMAIN}"
    assert mail.send(stack.smtp_port, forged, sender="").startswith("550 5.1.1 ")


def test_starttls_with_the_certificate_made_at_the_first_start(stack: Stack, stage: Stage) -> None:
    stage.alias("safe")
    context = ssl.create_default_context(cafile=stack.certificate)
    with mail.connect(stack.smtp_port) as client:
        client.starttls(context=context)
        client.ehlo()
        assert not client.has_extn("starttls")
        assert mail.transact(client, stage.address("safe"), mail.OCTETS).startswith("250 ")
    [delivery] = mail.delivered(stage.address("safe"))
    octets = inbox.read(delivery)
    assert octets is not None
    assert octets.startswith(f"Delivered-To: {stage.address('safe')}\r\n".encode())
    assert octets.endswith(mail.OCTETS)
    assert f"by {HOSTNAME} with ESMTPS id {delivery.message.queue_id}".encode() in octets


@pytest.mark.needs("swaks")
def test_first_message_as_the_try_out_proposes_it(stack: Stack, database: None) -> None:
    words = ("--from", "you@example.net", "--to", "hello@demo.example")
    command = ["swaks", "--server", f"127.0.0.1:{stack.smtp_port}", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [delivery] = mail.delivered("hello@demo.example")
    assert delivery.kind == "inbox"


def test_address_expires_on_time_without_a_request(stack: Stack, stage: Stage) -> None:
    """Beat switches it off; RCPT refuses it from the moment on in any case."""
    alias = stage.alias("moment", expires_at=timezone.now() + timedelta(seconds=1))

    def is_switched_off() -> bool:
        alias.refresh_from_db()
        return not alias.enabled

    wait_until(is_switched_off)
    reply = mail.ask(stack.smtp_port, stage.address("moment"))
    assert reply.startswith("550 5.2.1 Address has expired")
