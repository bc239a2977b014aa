"""A POST to an address that staff typed: judged before it is connected to, signed, and bounded.

Signed as Standard Webhooks says (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and
body, under each secret behind `whsec_`. The name is looked up once and the address that was judged
is the one connected to, so that a name cannot point elsewhere in between. Redirects are not
followed and no proxy is asked.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from gateway.routing.address import AddressError, parse_domain
from gateway.watch.outcome import Undelivered

DEADLINE_SECONDS = 10.0
SHOWN_OCTETS = 300
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix alone
PORTS = {"http": 80, "https": 443}
GONE = 410  # RFC 9110 §15.5.11
SECONDS_DIGITS = 9  # of a number of seconds; what is longer is cut
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Posting:
    """What is posted, to where, and the terms of the installation for it."""

    url: str
    id: str
    body: bytes
    secrets: tuple[str, ...] = ()
    allows_private: bool = False


def parse_url(url: str) -> SplitResult:
    """The parts of a webhook's address, its host as A-label. Raises ValueError with a sentence."""
    parts = urlsplit(url)
    is_plain = url.isprintable() and " " not in url
    if not is_plain or parts.scheme not in PORTS or not parts.hostname or parts.port == 0:
        raise ValueError("write the address as https://example.com/path")
    if parts.username or parts.fragment:
        raise ValueError("leave out names, passwords and what stands behind #")
    return parts if parts.netloc.isascii() else _with_a_label(parts)


def _with_a_label(parts: SplitResult) -> SplitResult:
    """HTTP names hosts in ASCII alone (RFC 9110 §7.2, RFC 3986 §3.2.2)."""
    try:
        host = parse_domain(parts.hostname or "")
    except AddressError:
        raise ValueError("write the host as it stands in DNS, as in bücher.example") from None
    return parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}")


def is_hook(address: str) -> bool:
    """Whether this is an address of a webhook, and none for mail."""
    return address.partition("://")[0].lower() in PORTS


def conceal(address: str) -> str:
    """An address of a webhook without its path, which is often a secret; others as they are.

    A few characters of its hash stand there, so that one can tell whether it is another.
    """
    parts = urlsplit(address)
    if parts.scheme not in PORTS or not (parts.path.strip("/") or parts.query):
        return address
    digest = hashlib.sha256(address.encode()).hexdigest()[:6]
    return f"{parts.scheme}://{parts.netloc}/… ({digest})"


def parse_secret(text: str) -> bytes:
    """The key of a secret as `whsec_` and base64. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(SECRET_PREFIX) or len(key) < 24:
        raise ValueError("it has to be whsec_ and the base64 of 24 octets or more")
    return key


def headers_of(posting: Posting, *, now: datetime) -> dict[str, str]:
    """The id, the time and, with secrets, a signature by each: one may take another's place."""
    stamp = str(int(now.timestamp()))
    headers = {
        "content-type": "application/json",
        "webhook-id": posting.id,
        "webhook-timestamp": stamp,
    }
    if posting.secrets:
        signed = f"{posting.id}.{stamp}.".encode() + posting.body
        signatures = [_sign(signed, parse_secret(secret)) for secret in posting.secrets]
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _sign(octets: bytes, key: bytes) -> str:
    digest = hmac.new(key, octets, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def parse_retry_after(text: str, *, now: datetime) -> timedelta:
    """How long to wait, from seconds or a date (RFC 9110 §10.2.3); nothing where it is neither."""
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=min(int(text[:SECONDS_DIGITS]), DAY_SECONDS))
    try:
        return max(parsedate_to_datetime(text) - now, timedelta())
    except (TypeError, ValueError):  # no date, or one without its zone
        return timedelta()


def post(posting: Posting, *, now: datetime) -> str:
    """Post, and return what was answered. Raises Undelivered."""
    try:
        return asyncio.run(_post(posting, now))
    except TimeoutError:
        raise Undelivered(f"no answer within {DEADLINE_SECONDS:g} s") from None
    except ValueError as error:  # an address that nobody would take today
        raise Undelivered(f"its address cannot be used: {error}") from error


async def _post(posting: Posting, now: datetime) -> str:
    import httpx2

    parts = parse_url(posting.url)
    async with asyncio.timeout(DEADLINE_SECONDS):
        address = await _judged_address(parts, allows_private=posting.allows_private)
        target = httpx2.URL(parts.geturl()).copy_with(host=address)
        headers = {**headers_of(posting, now=now), "host": parts.netloc}
        client = httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=None)
        try:
            async with (
                client,
                client.stream(
                    "POST",
                    target,
                    headers=headers,
                    content=posting.body,
                    extensions={"sni_hostname": parts.hostname},
                ) as response,
            ):
                said = await _beginning(response)
        except (httpx2.HTTPError, OSError) as error:
            raise Undelivered(str(error) or type(error).__name__) from error
    answer = f"{response.status_code} {said}".strip()
    if not response.is_success:
        wait = parse_retry_after(response.headers.get("retry-after", ""), now=now)
        raise Undelivered(answer, is_gone=response.status_code == GONE, wait=wait)
    return answer


async def _beginning(response: object) -> str:
    """The first octets of an answer as text without control characters."""
    found = bytearray()
    async for piece in response.aiter_raw():  # type: ignore[attr-defined]
        found += piece
        if len(found) >= SHOWN_OCTETS:
            break
    text = bytes(found[:SHOWN_OCTETS]).decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text).strip()


async def _judged_address(parts: SplitResult, *, allows_private: bool) -> str:
    """An address of the host that may be connected to. Raises Undelivered."""
    from tenants.dns.resolver import is_public  # all of DNS, which models need not know

    port = parts.port or PORTS[parts.scheme]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter for labels that no name can have
        why = getattr(error, "strerror", None) or "this is no host name"
        raise Undelivered(f"{parts.hostname} has no address: {why}") from error
    addresses = [str(place[0]) for *_, place in found]
    if not allows_private and not all(map(is_public, addresses)):
        raise Undelivered(
            f"{parts.hostname} leads into a private network; "
            "ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES allows that"
        )
    return addresses[0]
