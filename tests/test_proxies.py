"""The address of a request's client is what listed proxies say, and nobody else."""

from typing import Any

import pytest
from django.test import Client
from structlog.contextvars import get_contextvars

from mailrouting.proxies import LogMiddleware, client_of
from tenants.models import Alias
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of as browser_of
from tests.staff import make_staff

PROXIES = ["127.0.0.0/8", "::1/128", "10.0.0.0/24"]
STRANGER = "198.51.100.7"
FORGED = "192.0.2.66"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", STRANGER, STRANGER),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", STRANGER, STRANGER),
        ("127.0.0.1", f"{FORGED}, {STRANGER}", STRANGER),
        ("127.0.0.1", f"{FORGED},{STRANGER},10.0.0.9", STRANGER),
        ("127.0.0.1", "10.0.0.8, 10.0.0.9", "10.0.0.8"),
        ("127.0.0.1", f"{STRANGER}, unknown", "127.0.0.1"),
        ("127.0.0.1", f"{STRANGER}, unknown, 10.0.0.9", "10.0.0.9"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("", STRANGER, ""),
        (STRANGER, FORGED, STRANGER),
        (STRANGER, f"{FORGED}, 127.0.0.1", STRANGER),
    ],
)
def test_client_is_the_nearest_that_is_no_listed_proxy(
    peer: str, forwarded: str, client: str
) -> None:
    assert client_of(peer, forwarded, networks=PROXIES) == client


def test_without_listed_proxies_the_header_says_nothing() -> None:
    assert client_of("127.0.0.1", FORGED, networks=[]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "noted"), [("127.0.0.1", STRANGER), ("203.0.113.5", "203.0.113.5")]
)
def test_history_names_the_client_behind_a_listed_proxy(
    db: None, settings: Any, peer: str, noted: str
) -> None:
    settings.PANEL_PROXY_NETWORKS = PROXIES
    alias = make.make_alias(make.make_domain(make.make_tenant()), "gone")
    headers = {"X-Forwarded-For": f"{FORGED}, {STRANGER}"}
    url = url_of(Alias, "delete", alias.pk)
    browser_of(make_staff()).post(url, {"post": "yes"}, headers=headers, REMOTE_ADDR=peer)
    events: Any = Alias.pgh_event_model  # type: ignore[attr-defined]
    event = events.objects.filter(pgh_obj_id=alias.pk, pgh_label="delete").get()
    assert event.pgh_context.metadata["client"] == noted


def test_sign_in_limits_each_client_and_not_their_proxy(db: None, settings: Any) -> None:
    settings.PANEL_PROXY_NETWORKS = PROXIES
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ACCOUNT_RATE_LIMITS = {"login": "3/m/ip"}
    login = {"login": "nobody", "password": "wrong"}

    def status_for(address: str) -> int:
        headers = {"X-Forwarded-For": address}
        return Client().post("/accounts/login/", login, headers=headers).status_code

    assert [status_for(STRANGER) for _ in range(4)] == [200, 200, 200, 429]
    assert status_for("198.51.100.8") != 429


def test_log_takes_no_header_s_word(rf: Any) -> None:
    request = rf.get("/", REMOTE_ADDR=STRANGER, headers={"X-Real-IP": FORGED})
    LogMiddleware.bind_ip(request)
    assert get_contextvars()["ip"] == STRANGER
