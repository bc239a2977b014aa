"""Clients of every kind at once, honest and hostile.

`python -m tests.gateway.mixed_load PORT ADDRESS`, where the address is one that takes mail. A
process of its own, so that what it computes is not taken for the gateway's. Bounded in what it
sends; it ends with status 0 when the honest ones were served.
"""

import socket
import ssl
import sys
from collections.abc import Callable
from threading import Thread

from tests.gateway.dialogue import Wire

Client = Callable[[Wire, str], None]


def send_small(wire: Wire, known: str) -> None:
    for _ in range(20):
        send(wire, known, b"Subject: small\r\n\r\n" + b"x" * 5_000 + b"\r\n")


def send_large(wire: Wire, known: str) -> None:
    send(wire, known, b"Subject: large\r\n\r\n" + b"<b>large</b>\r\n.\r\n" * 400_000)


def send_long_lines(wire: Wire, known: str) -> None:
    send(wire, known, b"Subject: wide\r\n\r\n" + (b"y" * 60_000 + b"\r\n") * 40)


def pipeline(wire: Wire, known: str) -> None:
    """Everything in one write."""
    said = [b"MAIL FROM:<a@b.example>"] + [f"RCPT TO:<{known}>".encode()] * 900 + [b"RSET"]
    wire.write(b"".join(line + b"\r\n" for line in said * 3))
    for _ in range(len(said) * 3):
        wire.reply()


def guess(wire: Wire, known: str) -> None:
    wire.command("MAIL FROM:<a@b.example>")
    wire.write(b"".join(b"RCPT TO:<x%d@elsewhere.example>\r\n" % n for n in range(1000)))
    read_to_end(wire)


def babble(wire: Wire, known: str) -> None:
    """An endless line, and octets that are nothing."""
    wire.write(b"Q" * 5_000_000 + b"\r\n" + bytes(range(256)) * 2_000 + b"\r\n")
    read_to_end(wire)


def chatter(wire: Wire, known: str) -> None:
    wire.write(b"EHLO a.example\r\nNOOP\r\nVRFY a\r\n" * 3_000)
    read_to_end(wire)


def encrypt(wire: Wire, known: str) -> None:
    assert wire.command("STARTTLS").startswith("220")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Wire(context.wrap_socket(wire.connection)) as inside:
        inside.command("EHLO client.example")
        send(inside, known, b"Subject: secret\r\n\r\n" + b"z" * 70 + b"\r\n" * 20_000)


CLIENTS: list[Client] = [
    send_small, send_large, send_long_lines, pipeline, guess, babble, chatter, encrypt,
]  # fmt: skip
HONEST = {send_small, send_large, send_long_lines, pipeline, encrypt}


def send(wire: Wire, known: str, content: bytes) -> None:
    for command in ("MAIL FROM:<a@b.example>", f"RCPT TO:<{known}>", "DATA"):
        assert wire.command(command)[0] in "23"
    reply = wire.send_content(content)
    assert reply.startswith("250"), reply


def read_to_end(wire: Wire) -> None:
    while wire.reply_or_end():
        pass


def main(port: int, known: str) -> int:
    failed: list[str] = []

    def run(client: Client) -> None:
        try:
            with Wire(socket.create_connection(("127.0.0.1", port), 60)) as wire:
                wire.reply()
                wire.command("EHLO client.example")
                client(wire, known)
        except (OSError, AssertionError) as error:
            if client in HONEST:
                failed.append(f"{client.__name__}: {error!r}")

    threads = [Thread(target=run, args=(client,)) for client in CLIENTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stderr.write("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
