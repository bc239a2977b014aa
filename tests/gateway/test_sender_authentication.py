"""What an address asks of its senders, over real sockets, real DNS and real signatures."""

from collections.abc import Iterator
from typing import Any

import authres
import pytest
from pytest_django import Settings

from gateway.delivery import drain, release
from gateway.models import Delivery, RoutingRecord
from gateway.pieces import octets_of
from tenants.changes import Actor
from tests.dns_server import DnsWorld, Fault, run_dns_world
from tests.gateway import signers
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.sink import Received, Sink
from tests.gateway.stage import Stage
from tests.world import to_mailbox

AUTHOR = "sender.example"
US = "localhost"


@pytest.fixture(scope="module")
def running_dns() -> Iterator[DnsWorld]:
    with run_dns_world() as world:
        yield world


@pytest.fixture
def dns(running_dns: DnsWorld, settings: Settings) -> DnsWorld:
    """A sender whose domain allows 127.0.0.1, signs, and wants the rest rejected."""
    running_dns.clear()
    settings.DNS_RESOLVERS = running_dns.resolvers
    publish(running_dns)
    return running_dns


def publish(dns: DnsWorld, author: str = AUTHOR, **records: Any) -> None:
    spf = records.pop("spf", "v=spf1 ip4:127.0.0.1 -all")
    mx = records.pop("mx", "")
    dmarc = records.pop("dmarc", "v=DMARC1; p=reject")
    dns.serve(
        author,
        {
            f"{author} TXT": [spf] if spf else [],
            f"{author} A": ["127.0.0.1"],
            f"{author} MX": [mx] if mx else [],
            f"s._domainkey.{author} TXT": [signers.rsa_signer().record()],
            f"e._domainkey.{author} TXT": [signers.ed25519_signer().record()],
            f"_dmarc.{author} TXT": [dmarc] if dmarc else [],
        },
    )


@pytest.fixture
def gateway(dns: DnsWorld, gateway: LiveGateway) -> LiveGateway:
    """A gateway that asks the test's DNS: `dns` comes before it starts."""
    return gateway


def signed() -> bytes:
    return signers.sign(signers.content(AUTHOR), AUTHOR)


def results_of(octets: bytes) -> list[str]:
    """What the Authentication-Results on top say, as another reader reads it."""
    text = octets.partition(b"\r\nReceived:")[0].decode().replace("\r\n\t", " ")
    header = authres.AuthenticationResultsHeader.parse(text)
    assert header.authserv_id == US
    return [f"{result.method}={result.result}" for result in header.results]


def stored(stage: Stage, local_part: str = "x") -> bytes:
    record = RoutingRecord.objects.filter(key=stage.address(local_part)).latest("id")
    assert record.message is not None
    return octets_of(record.message) or b""


UNSIGNED = signers.content(AUTHOR)
CHANGED = b"changed on the way\r\n"
# What the address asks, what the sender's domain publishes, what is sent, and the reply.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Any, str]] = {
    "SPF passes": ({"authentication": "spf"}, {}, UNSIGNED, "250 2.0.0"),
    "SPF fails at RCPT": ({"authentication": "spf"}, {"spf": "v=spf1 -all"}, signed, "550 5.7.23"),
    "no SPF at RCPT": ({"authentication": "spf"}, {"spf": ""}, signed, "550 5.7.23"),
    "SPF of another domain": (
        {"authentication": "spf"}, {"dmarc": ""}, signers.content("other.example"), "550 5.7.23",
    ),
    "DKIM passes": ({"authentication": "dkim"}, {"spf": "v=spf1 -all"}, signed, "250 2.0.0"),
    "not signed": ({"authentication": "dkim"}, {"dmarc": ""}, UNSIGNED, "550 5.7.20"),
    "body changed": (
        {"authentication": "dkim"}, {"dmarc": ""}, lambda: signed() + CHANGED, "550 5.7.20",
    ),
    "signed by another": (
        {"authentication": "dkim"}, {"dmarc": ""},
        lambda: signers.sign(signers.content("other.example"), AUTHOR), "550 5.7.22",
    ),
    "either passes": ({"authentication": "any"}, {"spf": "v=spf1 -all"}, signed, "250 2.0.0"),
    "neither passes": (
        {"authentication": "any"}, {"spf": "v=spf1 -all", "dmarc": ""}, UNSIGNED, "550 5.7.26",
    ),
    "DMARC passes": ({"authentication": "dmarc"}, {}, signed, "250 2.0.0"),
    "DMARC fails": (
        {"authentication": "dmarc"}, {"spf": "v=spf1 -all"}, UNSIGNED, "550 5.7.26",
    ),
    "no DMARC": ({"authentication": "dmarc"}, {"dmarc": ""}, signed, "550 5.7.26"),
    "the signer's": (
        {"authentication": "signer", "signing_domain": AUTHOR}, {}, signed, "250 2.0.0",
    ),
    "another signer's": (
        {"authentication": "signer", "signing_domain": "list.example"}, {}, signed, "550 5.7.22",
    ),
    "an author on the list": (
        {"allowed_senders": [f"@{AUTHOR}"], "sender_match": "author"}, {}, signed, "250 2.0.0",
    ),
    "an author off the list": (
        {"allowed_senders": ["ann@far.example"], "sender_match": "author"},
        {}, signed, "550 5.7.1 ",
    ),
    "a listed author unproven": (
        {"allowed_senders": [f"ann@{AUTHOR}"], "sender_match": "author"},
        {"spf": "v=spf1 -all"}, UNSIGNED, "550 5.7.26",
    ),
    "null MX at RCPT": ({"authentication": "spf"}, {"mx": "0 ."}, signed, "550 5.7.27"),
    "null MX": ({"authentication": "dkim"}, {"mx": "0 ."}, signed, "550 5.7.27"),
    "an MX": ({"authentication": "dkim"}, {"mx": "10 sender.example."}, signed, "250 2.0.0"),
    "null MX, nothing asked": ({}, {"mx": "0 ."}, UNSIGNED, "250 2.0.0"),
    "nothing asked": ({}, {"spf": "v=spf1 -all"}, UNSIGNED, "250 2.0.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message_is_taken_where_its_sender_proves_what_is_asked(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, case: str
) -> None:
    asked, published, octets, reply = CASES[case]
    publish(dns, **published)
    stage.alias("x", **asked)

    said = gateway.send(stage.address("x"), octets() if callable(octets) else octets)

    assert said.startswith(reply), said


def test_null_mx_holds_what_is_to_be_held(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    publish(dns, mx="0 .")
    stage.alias("x", authentication="dkim", authentication_failure="hold")

    assert gateway.send(stage.address("x"), signed()).startswith("250")

    record = RoutingRecord.objects.get(key=stage.address("x"))
    assert ["null MX", "fail", AUTHOR] in record.trace
    assert Delivery.objects.get(record=record).state == Delivery.State.HELD


def test_spf_alone_refuses_the_recipient_before_the_message(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    publish(dns, spf="v=spf1 -all")
    stage.alias("x", authentication="spf")
    stage.alias("y", authentication="spf", authentication_failure="hold")

    with gateway.connect() as wire:
        wire.talk(f"""
            C: MAIL FROM:<ann@{AUTHOR}>
            S: 250
            C: RCPT TO:<{stage.address("x")}>
            S: 550 5.7.23
            C: RCPT TO:<{stage.address("y")}>
            S: 250""")
    gateway.flush_refusals()
    [refused] = RoutingRecord.objects.filter(key=stage.address("x"))
    assert refused.trace[-1][:2] == ["sender", "refused"]


def test_condemned_author_is_refused_though_a_pinned_domain_signed(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    """A DMARC fail beats the signature that the address asked for."""
    publish(dns, "list.example", dmarc="")
    publish(dns, spf="v=spf1 -all", dmarc="v=DMARC1; p=quarantine")
    stage.alias("x", authentication="signer", signing_domain="list.example")

    by_list = signers.sign(UNSIGNED, "list.example")

    assert gateway.send(stage.address("x"), by_list).startswith("550 5.7.26")


TROUBLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "SPF at RCPT": ({"authentication": "spf"}, AUTHOR, "451 4.7.24"),
    "SPF for DMARC": ({"authentication": "dmarc"}, AUTHOR, "451 4.7.24"),
    "DKIM key": ({"authentication": "dkim"}, f"_domainkey.{AUTHOR}", "451 4.7.5"),
    "DMARC record": ({"authentication": "dmarc"}, f"_dmarc.{AUTHOR}", "451 4.4.3"),
    "a hold that is all there is": (
        {"authentication": "dkim", "authentication_failure": "hold"},
        f"_domainkey.{AUTHOR}", "451 4.7.5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TROUBLE)
def test_dns_trouble_is_temporary_and_never_absence(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, case: str
) -> None:
    asked, zone, reply = TROUBLE[case]
    publish(dns, spf="v=spf1 -all" if "DKIM" in case else "v=spf1 ip4:127.0.0.1 -all")
    if zone != AUTHOR:
        dns.serve(zone, {})
    dns.break_recursion(zone, Fault.SERVFAIL)
    # Another domain's key must not stand in for what is not known.
    octets = signers.content(AUTHOR) if zone == AUTHOR else signed()
    stage.alias("x", **asked)

    sender = "ann@other.example" if zone == f"_dmarc.{AUTHOR}" else f"ann@{AUTHOR}"
    said = gateway.send(stage.address("x"), octets, sender=sender)

    assert said.startswith(reply), said


def test_held_message_waits_until_it_is_released(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, sink: Sink
) -> None:
    publish(dns, spf="v=spf1 -all")
    box = stage.mailbox("box@store.example", port=sink.port)
    asked = {"authentication": "any", "authentication_failure": "hold"}
    stage.alias("x", to_mailbox(box), **asked)

    assert gateway.send(stage.address("x"), UNSIGNED).startswith("250 2.0.0")

    delivery = Delivery.objects.get(record__key=stage.address("x"))
    assert delivery.state == Delivery.State.HELD
    assert "spf=fail, dkim=none, dmarc=fail" in delivery.last_reply
    assert drain() == 0
    assert release([delivery.pk], actor=Actor.system("test")) == 1
    assert drain() == 1
    assert len(sink.received) == 1


def test_marked_message_carries_the_mark_for_its_recipient_alone(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, sink: Sink
) -> None:
    publish(dns, spf="v=spf1 -all")
    box = stage.mailbox("box@store.example", port=sink.port)
    asked = {"authentication": "dmarc", "authentication_failure": "mark"}
    stage.alias("marked", to_mailbox(box), **asked)
    stage.alias("plain", to_mailbox(box))

    with gateway.connect() as wire:
        wire.talk(f"""
            C: MAIL FROM:<ann@{AUTHOR}>
            S: 250
            C: RCPT TO:<{stage.address("marked")}>
            S: 250
            C: RCPT TO:<{stage.address("plain")}>
            S: 250
            C: DATA
            S: 354""")
        assert wire.send_content(UNSIGNED).startswith("250")

    assert drain() == 2
    assert dict(map(mark_of, sink.received)) == {
        stage.address("marked"): "failed (spf=fail, dkim=none, dmarc=fail)",
        stage.address("plain"): "",
    }


def mark_of(received: Received) -> tuple[str, str]:
    """For whom a delivery is, and how it is marked."""
    top = received.octets.partition(b"\r\nAuthentication-Results:")[0].decode()
    fields = dict(line.split(": ", 1) for line in top.split("\r\n"))
    return fields["Delivered-To"], fields.get("X-Sender-Authentication", "")


FORGED = [
    b"Authentication-Results: localhost; spf=pass smtp.mailfrom=bank.example\r\n",
    b"AUTHENTICATION-RESULTS:\r\n\t(x (y)) LocalHost 1;\r\n dkim=pass header.d=bank.example\r\n",
    b'Authentication-Results : "local\\host"; dmarc=pass\r\n',
]
FOREIGN = b"Authentication-Results: mx.far.example; spf=pass smtp.mailfrom=localhost\r\n"


@pytest.mark.parametrize("asked", [{}, {"authentication": "spf"}], ids=["unasked", "asked"])
def test_forged_results_are_taken_out_and_foreign_ones_stay(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, asked: dict[str, str]
) -> None:
    stage.alias("x", **asked)
    octets = b"".join([FORGED[0], b"Subject: x\r\n", *FORGED[1:], FOREIGN, UNSIGNED])

    assert gateway.send(stage.address("x"), octets).startswith("250")

    kept = stored(stage)
    assert kept.endswith(b"\r\nSubject: x\r\n" + FOREIGN + UNSIGNED)
    assert kept.startswith(
        b"Authentication-Results: localhost;\r\n\tspf=pass" if asked else b"Rece"
    )


def test_results_stand_on_top_as_others_read_them(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    stage.alias("x", authentication="dmarc")
    twice = signers.sign(signed(), AUTHOR, signers.ed25519_signer(), selector="e")

    assert gateway.send(stage.address("x"), twice + b"").startswith("250")

    assert results_of(stored(stage)) == ["spf=pass", "dkim=pass", "dkim=pass", "dmarc=pass"]


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "aiosmtpd"])
def test_setting_checks_every_message_and_refuses_none(
    dns: DnsWorld, settings: Settings, socket_enabled: None, stage: Stage, is_plain: bool
) -> None:
    settings.AUTHENTICATE_ALL_MAIL, settings.AUTHSERV_ID = True, US
    publish(dns, spf="v=spf1 -all")
    stage.alias("x")

    with live_gateway(is_plain=is_plain) as gateway:
        assert gateway.send(stage.address("x"), UNSIGNED).startswith("250")

    assert results_of(stored(stage)) == ["spf=fail", "dkim=none", "dmarc=fail"]
    steps = RoutingRecord.objects.get(key=stage.address("x")).trace
    assert [step[:2] for step in steps[-3:]] == [
        ["SPF", "fail"],
        ["DKIM", "none"],
        ["DMARC", "fail"],
    ]


def test_nothing_is_looked_up_where_nobody_asks(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    stage.alias("x")

    assert gateway.send(stage.address("x"), signed()).startswith("250")

    assert dns.queries == []


def test_bounce_is_judged_by_the_name_in_helo(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    """RFC 7208 §2.4: the null sender is postmaster at the HELO name."""
    publish(dns, "client.example")
    stage.alias("x", authentication="spf")

    said = gateway.send(stage.address("x"), signers.content("client.example"), sender="")

    assert said.startswith("250"), said
    assert b"smtp.helo=client.example" in stored(stage)


def test_large_message_is_checked_and_cleaned_in_its_file(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    """Beyond 1 MiB a message waits in a file, where its header is what it was."""
    stage.alias("x", authentication="dkim")
    large = UNSIGNED + b"a line of some length that goes on and on\r\n" * 50_000
    assert len(large) > 2_000_000
    ours = signers.sign(large, AUTHOR)

    assert gateway.send(stage.address("x"), FORGED[0] + ours).startswith("250")
    assert gateway.send(stage.address("x"), ours + CHANGED).startswith("550 5.7.20")

    kept = stored(stage)
    assert kept.startswith(b"Authentication-Results: localhost;\r\n\tspf=pass")
    assert kept.endswith(b"\r\n" + ours)
    assert FORGED[0] not in kept


def test_header_too_large_to_look_through_is_refused(gateway: LiveGateway, stage: Stage) -> None:
    stage.alias("x")
    padding = b"X-Padding: " + b"x" * 900 + b"\r\n"

    said = gateway.send(stage.address("x"), padding * 300 + FORGED[0] + UNSIGNED)

    assert said.startswith("552 5.3.4")


# --- recipients that do not want the same -------------------------------------------


def dialogue(gateway: LiveGateway, octets: bytes, *recipients: str) -> list[str]:
    """The replies to each RCPT and to the message."""
    with gateway.connect() as wire:
        wire.talk(f"C: MAIL FROM:<ann@{AUTHOR}>\nS: 250")
        said = [wire.command(f"RCPT TO:<{recipient}>") for recipient in recipients]
        wire.talk("C: DATA\nS: 354")
        return [*said, wire.send_content(octets)]


def codes(said: list[str]) -> list[str]:
    return [" ".join(reply.split()[:2]) for reply in said]


def test_tenants_of_different_policies_are_split_and_each_gets_its_own_answer(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    publish(dns, spf="v=spf1 -all")
    strict = Stage()
    stage.alias("x")
    strict.alias("y", authentication="dkim")
    first, second = stage.address("x"), strict.address("y")

    said = dialogue(gateway, UNSIGNED, first, second)
    again = dialogue(gateway, UNSIGNED, second)
    signed_again = dialogue(gateway, signed(), second)

    assert codes(said) == ["250 2.1.5", "452 4.5.3", "250 2.0.0"]
    assert codes(again) == ["250 2.1.5", "550 5.7.26"]
    assert codes(signed_again) == ["250 2.1.5", "250 2.0.0"]


NO_SPLIT = {
    "equal demands": ({"authentication": "dkim"}, {"authentication": "dkim"}),
    "hold beside none": ({}, {"authentication": "dkim", "authentication_failure": "hold"}),
    "mark beside hold": (
        {"authentication": "spf", "authentication_failure": "mark"},
        {"authentication": "dkim", "authentication_failure": "hold"},
    ),
    "sizes where one is declared": ({"max_message_octets": 10_000}, {"max_message_octets": 20_000}),
}


@pytest.mark.parametrize("case", NO_SPLIT)
def test_recipients_that_share_an_answer_are_not_split(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage, case: str
) -> None:
    other = Stage()
    one, two = NO_SPLIT[case]
    stage.alias("x", **one)
    other.alias("y", **two)

    with gateway.connect() as wire:
        wire.talk(f"""
            C: MAIL FROM:<ann@{AUTHOR}> SIZE=900
            S: 250
            C: RCPT TO:<{stage.address("x")}>
            S: 250
            C: RCPT TO:<{other.address("y")}>
            S: 250
            C: DATA
            S: 354""")
        assert wire.send_content(signed()).startswith("250")


def test_nobody_waits_for_another_s_check(
    dns: DnsWorld, gateway: LiveGateway, stage: Stage
) -> None:
    """A recipient that only holds is held where DNS fails, since the other one's mail may go."""
    dns.serve(f"_domainkey.{AUTHOR}", {})
    dns.break_recursion(f"_domainkey.{AUTHOR}", Fault.SERVFAIL)
    stage.alias("x")
    stage.alias("y", authentication="dkim", authentication_failure="hold")

    said = dialogue(gateway, signed(), stage.address("x"), stage.address("y"))

    assert codes(said) == ["250 2.1.5", "250 2.1.5", "250 2.0.0"]
    states = Delivery.objects.filter(record__domain=stage.domain).order_by("record__key")
    assert [each.state for each in states] == ["pending", "held"]
