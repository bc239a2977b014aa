"""Fetching MTA-STS policies from real HTTPS servers on loopback, well-behaved and hostile ones."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tenants.dns import HttpsPolicyFetcher, NameServer, Outcome, PolicyAnswer, ServerAnswer

HOST = "mta-sts.example.com"
POLICY = b"version: STSv1\nmode: none\nmax_age: 86400\n"
SERVER = NameServer("resolver")


@dataclass
class Addresses:
    """A look-up that knows the addresses of the host alone."""

    v4: tuple[str, ...] = ("127.0.0.1",)
    v6: tuple[str, ...] = ()
    outcome: Outcome | None = None
    asked: list[str] = field(default_factory=list)

    def resolve(self, name: str, rdtype: str) -> ServerAnswer:
        self.asked.append(name)
        records = self.v4 if rdtype == "A" else self.v6
        found = Outcome.FOUND if records else Outcome.ABSENT
        return ServerAnswer(SERVER, self.outcome or found, records, reason="no answer")


class Handler(BaseHTTPRequestHandler):
    """Answers as the host name's beginning says."""

    answer: tuple[int, str, bytes] = (200, "text/plain; charset=utf-8", POLICY)
    seen: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.path))
        status, kind, body = self.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "https://elsewhere.test/")
        self.end_headers()
        with suppress(OSError):  # whoever has read enough hangs up
            for start in range(0, len(body), 8192):
                self.wfile.write(body[start : start + 8192])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with key and certificate of HOST, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(key.private_bytes(pem, pkcs8, plain) + made.public_bytes(pem))
    return path


@pytest.fixture(scope="module")
def port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def fetch(
    port: int, certificate: Path | str, domain: str = "example.com", **more: object
) -> PolicyAnswer:
    about = {"allow_private_addresses": True, "timeout_seconds": 5.0} | more
    fetcher = HttpsPolicyFetcher(port=port, authorities=str(certificate), **about)  # type: ignore[arg-type]
    return fetcher.fetch(domain, Addresses())  # type: ignore[arg-type]


def test_a_policy_is_fetched_from_its_well_known_address(port: int, certificate: Path) -> None:
    Handler.seen.clear()
    assert fetch(port, certificate) == PolicyAnswer(Outcome.FOUND, POLICY.decode())
    assert Handler.seen == [(HOST, "/.well-known/mta-sts.txt")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, "text/plain", POLICY), "status 404"),
        ((301, "text/plain", POLICY), "status 301"),
        ((200, "text/html", POLICY), "text/plain"),
        ((200, "text/plain", b"x" * 200_000), "longer than 64 KiB"),
    ],
)
def test_what_senders_would_not_take_is_absent(
    port: int,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, str, bytes],
    reason: str,
) -> None:
    monkeypatch.setattr(Handler, "answer", answer)
    found = fetch(port, certificate)
    assert (found.outcome, found.text) == (Outcome.ABSENT, "")
    assert reason in found.reason


@pytest.mark.parametrize(("authority", "domain"), [("", "example.com"), ("own", "other.test")])
def test_a_certificate_that_senders_would_not_take_is_no_policy(
    port: int, certificate: Path, authority: str, domain: str
) -> None:
    found = fetch(port, certificate if authority else "", domain)
    assert found == PolicyAnswer(
        Outcome.ABSENT, reason=f"the certificate of mta-sts.{domain} is no good"
    )


PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::ffff:127.0.0.1", "::1"]


@pytest.mark.parametrize("address", [*PRIVATE, "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::"])
def test_private_addresses_are_never_connected_to(
    port: int, certificate: Path, address: str
) -> None:
    Handler.seen.clear()
    fetcher = HttpsPolicyFetcher(port=port, authorities=str(certificate))
    addresses = Addresses((), (address,)) if ":" in address else Addresses((address,))
    found = fetcher.fetch("example.com", addresses)  # type: ignore[arg-type]
    assert found.outcome is Outcome.ABSENT
    assert found.reason == f"{address} is not a public address"
    assert Handler.seen == []


@pytest.mark.parametrize(
    ("addresses", "outcome", "reason"),
    [
        (Addresses(()), Outcome.ABSENT, "mta-sts.example.com has no address"),
        (Addresses(outcome=Outcome.FAILED), Outcome.FAILED, "no answer"),
    ],
)
def test_without_an_address_nothing_is_fetched(
    addresses: Addresses, outcome: Outcome, reason: str
) -> None:
    found = HttpsPolicyFetcher().fetch("example.com", addresses)  # type: ignore[arg-type]
    assert found == PolicyAnswer(outcome, reason=reason)


def test_a_server_that_drips_is_left_when_the_time_is_over(
    port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        while not over.wait(0.05):
            handler.wfile.write(b"X-Slow: yes\r\n")

    monkeypatch.setattr(Handler, "do_GET", drip)
    started = time.monotonic()
    found = fetch(port, certificate, timeout_seconds=0.5)
    over.set()
    assert found == PolicyAnswer(Outcome.FAILED, reason="no answer in time")
    assert time.monotonic() - started < 3


def test_a_closed_port_is_a_failure_and_no_absence(certificate: Path) -> None:
    from mailrouting.supervisor import choose_free

    [closed] = choose_free(["127.0.0.1"])
    assert fetch(closed, certificate).outcome is Outcome.FAILED
