"""Mail into the running product over real SMTP, and what became of it by its rows."""

import smtplib
from collections.abc import Iterable

from gateway.models import Delivery
from tests.waiting import wait_until

SENDER = "ann@sender.example"
TIMEOUT_SECONDS = 20
# What is easily damaged on the way: dots, octets beyond ASCII, long lines, blanks, empty lines.
OCTETS = b"".join(
    line + b"\r\n"
    for line in (
        b"From: Ann <ann@sender.example>",
        b"Subject: =?utf-8?Q?caf=C3=A9?=",
        b"X-Folded: one",
        b"\ttwo",
        b"X-Raw: caf\xe9",
        b"",
        b".",
        b"..",
        b".one dot",
        b"raw \xe9, utf-8 \xc3\xa9 \xf0\x9f\x93\xa7, none \xff\xfe",
        b"From the beginning of a line",
        b"long " * 2000,
        b"  blanks around  \t",
        b"",
        b"",
    )
)


def connect(port: int) -> smtplib.SMTP:
    client = smtplib.SMTP(
        "127.0.0.1", port, local_hostname="client.example", timeout=TIMEOUT_SECONDS
    )
    client.ehlo()
    return client


def send(
    port: int,
    recipient: str,
    content: bytes = b"Subject: x\r\n\r\nx\r\n",
    *,
    sender: str = SENDER,
    options: Iterable[str] = ("BODY=8BITMIME",),
) -> str:
    """One message over a connection of its own; the reply that decided it."""
    with connect(port) as client:
        return transact(client, recipient, content, sender=sender, options=options)


def transact(
    client: smtplib.SMTP,
    recipient: str,
    content: bytes,
    *,
    sender: str = SENDER,
    options: Iterable[str] = (),
) -> str:
    """One message over an open connection; the reply that decided it."""
    for code, text in (client.mail(sender, list(options)), client.rcpt(recipient)):
        if code >= 400:
            client.rset()
            return f"{code} {text.decode()}"
    code, text = client.data(content)
    return f"{code} {text.decode()}"


def ask(port: int, recipient: str) -> str:
    """The reply to RCPT, or to a MAIL that was refused before it."""
    with connect(port) as client:
        code, text = client.mail(SENDER)
        if code == 250:
            code, text = client.rcpt(recipient)
    return f"{code} {text.decode()}"


def delivered(recipient: str, *, count: int = 1, seconds: float = 20) -> list[Delivery]:
    """The deliveries of mail to this address, once there are so many and all have arrived."""
    rows = Delivery.objects.filter(record__recipient=recipient).order_by("id")

    def have_arrived() -> bool:
        states = list(rows.values_list("state", flat=True))
        return len(states) == count and set(states) == {Delivery.State.DELIVERED}

    wait_until(have_arrived, seconds=seconds)
    return list(rows)
