"""Whose request it is, where proxies stand before the panel: what audit, limits and log go by.

A proxy adds its own client at the right end of X-Forwarded-For, so the header is read from there,
and only while those who say so are listed. Whatever stands further left anybody may have made up.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django_structlog.middlewares import RequestMiddleware


def client_of(peer: str, forwarded: str, *, networks: Iterable[str]) -> str:
    """The nearest address that is no listed proxy's; a peer that is not listed is the client.

    `forwarded` is X-Forwarded-For as it came. Where a proxy names no address, that proxy is meant.
    """
    listed = [ip_network(network) for network in networks]
    client = peer
    for said in (*reversed(forwarded.split(",")), ""):
        address, following = _parse(client), _parse(said)
        is_proxy = address is not None and any(address in network for network in listed)
        if not is_proxy or following is None:
            break
        client = str(following)
    return client


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, an IPv4-mapped one as its IPv4 address; None for anything else."""
    try:
        address = ip_address(text.strip())
    except ValueError:  # a Unix socket's peer, "unknown", a name
        return None
    return getattr(address, "ipv4_mapped", None) or address


class ClientAddressMiddleware:
    """Puts the client's address in the place of its proxy's, for all that comes after it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.META["REMOTE_ADDR"] = client_of(
            request.META.get("REMOTE_ADDR", ""),
            request.headers.get("X-Forwarded-For", ""),
            networks=settings.PANEL_PROXY_NETWORKS,
        )
        return self.get_response(request)


class LogMiddleware(RequestMiddleware):
    """The log's middleware, with that address instead of what any header claims."""

    @classmethod
    def bind_ip(cls, request: HttpRequest) -> None:
        structlog.contextvars.bind_contextvars(ip=request.META["REMOTE_ADDR"])
