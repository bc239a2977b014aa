"""The setting DKIM_PUBLIC_KEYS, from its text to what name servers are asked for."""

from collections.abc import Iterator

import pytest
from django.utils import timezone
from pytest_django import Settings

from tenants import services
from tenants.dns.keys import parse_keys
from tests.dns_server import DnsWorld, run_dns_world
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import ACTOR, World

RSA = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAvuktcFqsb7FoFuCoOqphyNd5PaK1WEY0HwB3Qs0yWX/f"
    "xu7nUpaYWaNU4yPvPOyYpoImKe1oE442bS4I09M251TdlBrTaqYr35omuiU3TraofQzLv79fGGWid8k1DfcNzHXE"
    "TkXzgcbLiTXClzizfUE/hXO/QzhWT+wwQ5OVVOOs0CSYgnhz6d5Fa55MA3jCVtVGS8wlqfqKjfeUm/BZ4CHWn5Dj"
    "hO8SRT27HvrRFbMZl4Tz+jR22T/xbLOMW+eo3R5bY0PAdSpfM1GTD+rQTYDZ7kXeGW6UCGlBqb+SfEzn+Tmk+2Sp"
    "5Ci6B/7iyfkMhiDX4lf7qr6pBLvPqyCMxwIDAQAB"
)
RSA_512 = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAPj7Zn1v1c/5tRZcLmROmqJaII+edddUGFKKNiKgaIqS3Uzhs9pVVvYj"
    "7z3auZufXgFj+ivJ0jL8uCOx9dT3098CAwEAAQ=="
)
ED25519 = "Qf9qo42gRftZ6kz7yQ4cXeU5BFd5UKe0B6e0KGUTt4I="


@pytest.fixture
def dns(socket_enabled: None, settings: Settings) -> Iterator[DnsWorld]:
    with run_dns_world() as running:
        settings.DNS_RESOLVERS = running.resolvers
        settings.DNS_AUTHORITATIVE_PORT = running.port
        settings.DNS_ALLOW_PRIVATE_ADDRESSES = True
        yield running


def test_every_key_of_the_setting_is_asked_for_and_judged(
    world: World, dns: DnsWorld, settings: Settings
) -> None:
    settings.DKIM_PUBLIC_KEYS = f"s1:{RSA},s2:{ED25519},next.year:{RSA}"
    published = {
        "s1._domainkey.a.example TXT": [f"v=DKIM1; k=rsa; p={RSA}"],
        "s2._domainkey.a.example TXT": [f"v=DKIM1; k=rsa; p={RSA}"],
    }
    dns.serve("a.example", published)

    resolver = services.configured_resolver()
    services.check_domain(world.domain, actor=ACTOR, resolver=resolver, now=timezone.now())

    checks = world.domain.checks.filter(kind="dkim").order_by("record_name")
    assert list(checks.values_list("record_name", "state", "expected")) == [
        ("next.year._domainkey.a.example", "absent", f"v=DKIM1; k=rsa; p={RSA}"),
        ("s1._domainkey.a.example", "present", f"v=DKIM1; k=rsa; p={RSA}"),
        ("s2._domainkey.a.example", "wrong", f"v=DKIM1; k=ed25519; p={ED25519}"),
    ]


def test_a_key_that_is_no_longer_in_the_setting_is_forgotten(
    world: World, settings: Settings
) -> None:
    def check(**published: str) -> list[tuple[str, str]]:
        found = MemoryResolver({(name, "TXT"): (text,) for name, text in published.items()})
        services.check_domain(world.domain, actor=ACTOR, resolver=found, now=timezone.now())
        checks = world.domain.checks.filter(kind="dkim")
        return list(checks.values_list("record_name", "state"))

    settings.DKIM_PUBLIC_KEYS = f"wrong:{RSA}"
    assert check() == [("wrong._domainkey.a.example", "absent")]
    settings.DKIM_PUBLIC_KEYS = f"right:{RSA}"
    name = "right._domainkey.a.example"
    assert check(**{name: f"v=DKIM1; k=rsa; p={RSA}"}) == [(name, "present")]
    settings.DKIM_PUBLIC_KEYS = ""
    assert check() == []


def test_without_keys_no_dkim_is_expected(world: World, settings: Settings) -> None:
    settings.DKIM_PUBLIC_KEYS = ""

    assert "dkim" not in {record.kind for record in services.expected_of(world.domain)}


def test_white_space_and_case_of_selectors_do_not_matter() -> None:
    assert parse_keys(f" S1 : {RSA} , s2:{ED25519},") == [("s1", RSA), ("s2", ED25519)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RSA, "selector:base64"),
        (f":{RSA}", "selector:base64"),
        (f"s_1:{RSA}", "selector:base64"),
        (f"-s1:{RSA}", "selector:base64"),
        (f"s1..x:{RSA}", "selector:base64"),
        ("s1:", "follows selector s1 is no public key"),
        ("s1:p=ab", "follows selector s1 is no public key"),
        (f"s1:{RSA[:-8]}", "follows selector s1 is no public key"),
        (f"s1:{ED25519[:-4]}", "follows selector s1 is no public key"),
        (f"s1:{RSA_512}", "selector s1 has to be RSA of 1024 bits or more"),
        (f"s1:{RSA},S1:{ED25519}", "selector s1 has two keys"),
    ],
)
def test_key_that_cannot_be_published_is_refused_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_keys(text)
    assert RSA[:40] not in str(refused.value)
