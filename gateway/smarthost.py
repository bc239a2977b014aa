"""The platform's smarthost, which takes forwards to elsewhere: SMARTHOST_URL read.

smtp:// uses STARTTLS where it is offered, smtp+starttls:// insists on it, smtps:// starts with
TLS. With a password smtp:// insists as well; `?tls=none` is for a relay on the same machine.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit

from gateway.routing.facts import Hop

SMARTHOST_ID = 0  # Delivery.hop is empty for it
_TLS = {"smtp": "opportunistic", "smtp+starttls": "required", "smtps": "implicit"}
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Login:
    """The name and password that a smarthost asks for."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Where it is, and what it asks for."""

    hop: Hop
    login: Login | None = None


@lru_cache(maxsize=8)
def parse(url: str) -> Smarthost | None:
    """The smarthost of a URL; None where it is empty. Raises ValueError with a sentence."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in _TLS or not parts.hostname:
        raise ValueError("SMARTHOST_URL has the form smtp://user:password@host:port.")
    tls = _TLS[parts.scheme]
    if parts.username and tls == "opportunistic":
        tls = "required"
    tls = parse_qs(parts.query).get("tls", [tls])[0]
    if tls not in ("none", *_TLS.values()):
        raise ValueError("The tls of SMARTHOST_URL is none, opportunistic, required or implicit.")
    hop = Hop(SMARTHOST_ID, "smtp", parts.hostname, parts.port or _PORTS[parts.scheme], tls)
    login = (
        Login(unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    )
    return Smarthost(hop, login)
