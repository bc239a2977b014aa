"""The wire: dialogues with a real gateway over a real socket and a real database."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from gateway.models import Delivery, Message, RefusalCount, RoutingRecord
from gateway.pending import Pending
from gateway.pieces import octets_of
from gateway.routing import replies
from gateway.routing.facts import Facts, LookupFailed
from tenants import changes
from tenants.models import Domain, Target, Tenant
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.stage import ACTOR, Stage
from tests.waiting import wait_until

CONTENT = (
    b"From: ann@sender.example\r\nSubject: hello\r\nMessage-ID: <1@sender>\r\n"
    b"\r\n.dot\r\n\xc3\xa9\r\n"
)


def stored_octets(message: Message) -> bytes:
    return octets_of(message) or b""


def message_of(reply: str) -> Message:
    return Message.objects.get(queue_id=reply.rpartition(" ")[2])


def test_accepted_message_is_rows_before_250(gateway: LiveGateway, stage: Stage):
    alias = stage.alias("hello")

    reply = gateway.send(stage.address("Hello"), CONTENT)

    assert reply.startswith("250 2.0.0 Ok: queued as ")
    message = message_of(reply)
    octets = stored_octets(message)
    assert octets.endswith(CONTENT)
    assert octets.startswith(
        b"Received: from client.example ([127.0.0.1])\r\n\tby localhost with ESMTP"
    )
    assert (message.sender, message.message_id) == ("ann@sender.example", "<1@sender>")
    record = message.records.get()
    assert (record.recipient, record.address_id) == (stage.address("Hello"), alias.pk)
    assert (record.strategy, record.rule) == ("alias", f"alias {alias.key}")
    assert record.trace[-1] == ["reply", "accepted", "250 2.1.5 Recipient ok"]
    delivery = record.deliveries.get()
    assert (delivery.kind, delivery.state, delivery.attempts_made) == ("inbox", "pending", 0)


REFUSED = {
    "unknown": ("nobody@{domain}", "550 5.1.1"),
    "relay": ("someone@elsewhere.example", "550 5.7.1"),
    "relay by percent hack": ("x%elsewhere.example@{domain}", "550 5.1.1"),
    "relay by bang path": ("elsewhere.example!x@{domain}", "550 5.1.1"),
    "relay by source route": ("@{domain}:x@elsewhere.example", "550 5.7.1"),
    "relay by quoting": ('"x@elsewhere.example"@{domain}', "550 5.1.1"),
    "relay by address literal": ("x@[127.0.0.1]", "550 5.7.1"),
    "relay to a subdomain": ("hello@sub.{domain}", "550 5.7.1"),
    "two at signs": ("hello@elsewhere.example@{domain}", "553 5.1.3"),
    "disabled": ("disabled@{domain}", "550 5.2.1 Address is disabled"),
    "expired": ("expired@{domain}", "550 5.2.1 Address has expired"),
    "sender": ("partners@{domain}", "550 5.7.1 Sender is not allowed"),
    "size": ("small@{domain}", "552 5.2.3"),
    "dead end": ("looped@{domain}", "554 5.4.6"),
}


@pytest.fixture(scope="module")
def varied(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Stage:
    """Addresses that refuse, one for each reason; no test changes them."""
    with django_db_blocker.unblock():
        return vary(Stage())


def vary(stage: Stage) -> Stage:
    stage.alias("hello")
    stage.alias("disabled", enabled=False)
    stage.alias("expired", expires_at=timezone.now() - timedelta(seconds=1))
    stage.alias("partners", allowed_senders=["@partner.example"])
    stage.alias("small", max_message_octets=1000)
    stage.alias("second")
    looped = stage.alias("looped", Target(kind="forward", forward_to=stage.address("second")))
    # Two simultaneous saves could make such a loop; here it is made behind the panel's back.
    Target.objects.filter(address__key=stage.address("second")).update(
        kind="forward", forward_to=looped.key, forward_key=looped.key
    )
    return stage


@pytest.mark.parametrize(("recipient", "reply"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_carry_the_reply_of_their_reason(
    gateway: LiveGateway, varied: Stage, recipient: str, reply: str
):
    recipient = recipient.format(domain=varied.domain.name)

    assert gateway.send(recipient, parameters=" SIZE=2000").startswith(reply)


@pytest.mark.parametrize("spelling", ["HELLO@{0}", "hello@{0}.", "Hello+tag@{1}", '"hello"@{0}'])
def test_every_spelling_of_an_address_reaches_it(gateway: LiveGateway, stage: Stage, spelling: str):
    stage.alias("hello")
    recipient = spelling.format(stage.domain.name, stage.domain.name.upper())

    assert gateway.send(recipient).startswith("250 2.0.0")


def test_postmaster_is_accepted_with_and_without_domain(gateway: LiveGateway, stage: Stage):
    stage.tenant.state = Tenant.State.SUSPENDED_FOR_ABUSE
    changes.save(stage.tenant, actor=ACTOR)

    gateway.talk(
        f"""
        C: MAIL FROM:<>
        S: 250 2.1.0
        C: RCPT TO:<Postmaster>
        S: 250 2.1.5
        C: RCPT TO:<postmaster@{stage.domain.name}>
        S: 250 2.1.5
        C: RCPT TO:<abuse@{stage.domain.name}>
        S: 250 2.1.5
        C: RCPT TO:<hello@{stage.domain.name}>
        S: 550 5.1.1
        """
    ).close()


@pytest.mark.parametrize("state", [Domain.State.PENDING, Domain.State.RELEASED])
def test_domain_that_is_not_verified_is_refused_as_foreign(
    gateway: LiveGateway, stage: Stage, state: str
):
    stage.alias("hello")
    Domain.objects.filter(pk=stage.domain.pk).update(state=state)

    assert gateway.send(stage.address("hello")).startswith("550 5.7.1 Relaying denied")


def test_degraded_domain_receives(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    Domain.objects.filter(pk=stage.domain.pk).update(state=Domain.State.DEGRADED)

    assert gateway.send(stage.address("hello")).startswith("250")


def test_disabled_alias_is_refused_by_the_very_next_rcpt(gateway: LiveGateway, stage: Stage):
    alias = stage.alias("hello")
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<a@b.example>")
        for _ in range(18):  # nine refusals: from the tenth on they would wait
            alias.enabled = not alias.enabled
            changes.save(alias, actor=ACTOR)
            expected = "250" if alias.enabled else "550 5.2.1"
            assert wire.command(f"RCPT TO:<{alias.key}>").startswith(expected)


def test_malformed_commands_are_refused_and_the_session_goes_on(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    gateway.talk(
        f"""
        C: RCPT TO:<hello@{stage.domain.name}>
        S: 503 5.5.1
        C: DATA
        S: 503 5.5.1
        C: FOO
        S: 500 5.5.2
        C: MAIL FROM:nobody
        S: 501 5.5.4
        C: MAIL FROM:<a@b.example> FOO=1
        S: 555 5.5.4
        C: MAIL FROM:<a@b.example>
        S: 250 2.1.0
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1
        C: RCPT TO:<a@b@c>
        S: 553 5.1.3
        C: RCPT TO:<hello@{stage.domain.name}>
        S: 250 2.1.5
        C: DATA
        S: 354
        Subject: after all that

        hello
        .
        S: 250 2.0.0
        C: VRFY hello
        S: 252 2.5.0
        C: EXPN hello
        S: 502 5.5.1
        C: AUTH PLAIN AGEAYg==
        S: 502 5.5.1
        C: RSET
        S: 250 2.0.0
        C: QUIT
        S: 221 2.0.0
        """
    ).close()


def test_over_long_command_line_is_refused_and_the_session_goes_on(gateway: LiveGateway):
    with gateway.connect() as wire:
        assert wire.command("NOOP " + "x" * 3000).startswith("500 5.5.2")
        assert wire.command("NOOP").startswith("250")


@pytest.mark.parametrize("ending", [b"bare lf\n.\r\nx", b"bare cr\r.\r\nx", b"\n.\n", b"\r.\r"])
def test_bare_line_ends_are_refused_and_never_end_the_message(
    gateway: LiveGateway, stage: Stage, ending: bytes
):
    stage.alias("hello")

    reply = gateway.send(stage.address("hello"), b"Subject: x\r\n\r\n" + ending + b"\r\n")

    assert reply.startswith("550 5.5.2")


def test_lines_of_2000_octets_pass(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    content = b"Subject: x\r\n\r\n" + b"<b>" * 20_000 + b"\r\n"

    reply = gateway.send(stage.address("hello"), content)

    assert stored_octets(message_of(reply)).endswith(content)


def test_fifty_hops_are_a_loop(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    received = b"Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n"

    assert gateway.send(stage.address("hello"), received * 49 + b"\r\nx\r\n").startswith("250")
    assert gateway.send(stage.address("hello"), received * 50 + b"\r\nx\r\n").startswith(
        "554 5.4.6"
    )


def test_undeclared_size_is_checked_after_data_and_limits_are_not_mixed(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello")
    stage.alias("small", max_message_octets=100)

    assert gateway.send(stage.address("small"), b"x" * 200 + b"\r\n").startswith("552 5.2.3")
    gateway.talk(
        f"""
        C: MAIL FROM:<a@b.example>
        S: 250
        C: RCPT TO:<{stage.address("hello")}>
        S: 250
        C: RCPT TO:<{stage.address("small")}>
        S: 452 4.5.3
        """
    ).close()


def test_system_limit_is_said_at_mail(gateway: LiveGateway):
    with gateway.connect() as wire:
        assert wire.command("MAIL FROM:<a@b.example> SIZE=99999999999").startswith("552 5.3.4")


def test_rate_is_exact_and_temporary(gateway: LiveGateway, stage: Stage):
    stage.alias("busy", rate_per_hour=3)

    answers = [gateway.send(stage.address("busy"))[:9] for _ in range(5)]

    assert answers == ["250 2.0.0"] * 3 + ["450 4.2.1"] * 2


def test_rate_counts_stored_recipients_only(gateway: LiveGateway, stage: Stage):
    stage.alias("busy", rate_per_hour=2)
    for _ in range(5):  # asked, never sent
        gateway.talk(
            f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('busy')}>\nS: 250"
        ).close()

    assert gateway.send(stage.address("busy")).startswith("250")


def test_tenant_quota_of_messages_and_storage(gateway: LiveGateway, database: None):
    hourly, storing = Stage(messages_per_hour=1), Stage(stored_octets=1000)
    for stage in (hourly, storing):
        stage.alias("a")
        stage.alias("b")
    content = b"x" * 700 + b"\r\n"

    assert gateway.send(hourly.address("a")).startswith("250")
    assert gateway.send(hourly.address("b")).startswith("450 4.7.1 Quota exceeded")
    assert gateway.send(storing.address("a"), content).startswith("250")
    assert gateway.send(storing.address("b"), content).startswith("450 4.2.2 Quota exceeded")


def test_two_gateways_share_a_limit_exactly(gateway: LiveGateway, stage: Stage):
    stage.alias("busy", rate_per_hour=20)
    answers: list[str] = []
    with live_gateway() as other:
        threads = [
            threading.Thread(
                target=lambda g=g: answers.extend(
                    g.send(stage.address("busy"))[:3] for _ in range(8)
                )
            )
            for g in (gateway, other)
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(answers) == ["250"] * 20 + ["450"] * 28
    assert RoutingRecord.objects.filter(key=stage.address("busy"), accepted=True).count() == 20


def test_same_recipient_twice_is_stored_once(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    wire = gateway.talk(
        f"""
        C: MAIL FROM:<a@b.example>
        S: 250
        C: RCPT TO:<hello@{stage.domain.name}>
        S: 250
        C: RCPT TO:<HELLO@{stage.domain.name}>
        S: 250
        C: DATA
        S: 354
        """
    )

    message = message_of(wire.send_content(b"x\r\n"))
    wire.close()

    assert message.records.count() == 1


def test_too_many_recipients_wait(database: None, socket_enabled: None, stage: Stage):
    for name in "abc":
        stage.alias(name)
    with live_gateway(max_recipients=2) as gateway, gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        answers = [wire.command(f"RCPT TO:<{stage.address(name)}>")[:9] for name in "abc"]

    assert answers == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]


def test_data_over_the_budget_of_the_process_waits(
    database: None, socket_enabled: None, stage: Stage
):
    stage.alias("hello")
    with live_gateway(data_budget_octets=100_000) as gateway:
        reply = gateway.send(stage.address("hello"), parameters=" SIZE=200000")

    assert reply.startswith("452 4.3.1")


def test_refusals_are_counted_and_sampled(gateway: LiveGateway, stage: Stage):
    for number in range(10):
        with gateway.connect() as wire:
            wire.command("MAIL FROM:<a@b.example>")
            for letter in "abcdefgh":
                wire.command(f"RCPT TO:<{letter}-{number}@{stage.domain.name}>")
    gateway.flush_refusals()

    counted = RefusalCount.objects.filter(domain_name=stage.domain.name)
    records = RoutingRecord.objects.filter(domain=stage.domain, accepted=False)
    assert sum(row.count for row in counted) == 80
    assert 60 <= records.count() < 80
    assert records[0].reply == str(replies.UNKNOWN_ADDRESS)


class BrokenDirectory:
    """A directory that cannot answer."""

    def facts(self, recipients: object) -> Pending[Facts]:
        return failed(LookupFailed("connection refused: password=secret"))


class CrashingDirectory:
    """A directory with a bug."""

    def facts(self, recipients: object) -> Pending[Facts]:
        return failed(RuntimeError("secret internals"))


def failed(error: Exception) -> Pending[Facts]:
    answer: Pending[Facts] = Pending()
    answer.fail(error)
    return answer


@pytest.mark.parametrize("directory", [BrokenDirectory(), CrashingDirectory()])
def test_internal_trouble_is_451_in_one_fixed_text_and_the_process_lives(
    gateway: LiveGateway, stage: Stage, directory: object
):
    stage.alias("hello")
    healthy = gateway.server.services.directory
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        gateway.replace_directory(directory)  # type: ignore[arg-type]
        assert wire.command(f"RCPT TO:<{stage.address('hello')}>") == str(replies.TROUBLE)
        gateway.replace_directory(healthy)
        assert wire.command(f"RCPT TO:<{stage.address('hello')}>").startswith("250")


def test_database_connections_cut_between_commands_are_made_anew(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello")
    assert gateway.send(stage.address("hello")).startswith("250")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert gateway.send(stage.address("hello")).startswith("250")


def test_internationalised_addresses_need_smtputf8(gateway: LiveGateway, database: None):
    stage = Stage()
    domain = stage.add_domain(f"bücher-{stage.tenant.external_id}.example")
    stage.domain = domain
    stage.alias("jörg")

    with gateway.connect() as wire:
        wire.command("MAIL FROM:<a@b.example>")
        assert wire.command(f"RCPT TO:<jörg@{domain.u_label}>").startswith("553 5.6.7")
        wire.command("RSET")
        wire.command("MAIL FROM:<a@b.example> SMTPUTF8")
        assert wire.command(f"RCPT TO:<JÖRG@{domain.u_label}>").startswith("250")


def test_one_message_to_several_tenants_is_stored_once(gateway: LiveGateway, database: None):
    first, second = Stage(), Stage()
    first.alias("a")
    second.alias("b")
    wire = gateway.talk(
        f"""
        C: MAIL FROM:<x@y.example>
        S: 250
        C: RCPT TO:<{first.address("a")}>
        S: 250
        C: RCPT TO:<{second.address("b")}>
        S: 250
        C: DATA
        S: 354
        """
    )

    message = message_of(wire.send_content(b"x\r\n"))
    wire.close()

    assert {record.tenant_id for record in message.records.all()} == {
        first.tenant.pk,
        second.tenant.pk,
    }
    assert Delivery.objects.filter(message=message).count() == 2


def test_stop_lets_a_message_finish_and_says_421_to_the_idle(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    idle = gateway.connect()
    busy = gateway.talk(
        f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250\nC: DATA\nS: 354"
    )
    gateway.loop.call_soon_threadsafe(gateway._stop.set)

    assert idle.reply().startswith("421 4.3.2")
    assert busy.send_content(b"x\r\n").startswith("250 2.0.0")
    idle.close()
    busy.close()


def test_client_that_goes_away_inside_data_gives_its_budget_back(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello")
    wire = gateway.talk(
        f"""
        C: MAIL FROM:<> SIZE=1000000
        S: 250
        C: RCPT TO:<{stage.address("hello")}>
        S: 250
        C: DATA
        S: 354
        """
    )
    assert gateway.server.services.data_in_flight == 1_000_000
    wire.close()

    wait_until(lambda: gateway.server.services.data_in_flight == 0)


def test_false_size_does_not_evade_the_smallest_limit(gateway: LiveGateway, stage: Stage):
    stage.alias("small", max_message_octets=100)
    stage.alias("big")
    wire = gateway.talk(
        f"""
        C: MAIL FROM:<> SIZE=10
        S: 250
        C: RCPT TO:<{stage.address("small")}>
        S: 250
        C: RCPT TO:<{stage.address("big")}>
        S: 250
        C: DATA
        S: 354
        """
    )

    assert wire.send_content(b"x" * 500 + b"\r\n").startswith("552 5.2.3")
    wire.close()


def test_helo_longer_than_a_domain_is_refused(gateway: LiveGateway):
    with gateway.connect() as wire:
        assert wire.command(f"EHLO {'x' * 256}").startswith("501 5.5.4")
        assert wire.command(f"HELO {'x' * 256}").startswith("501 5.5.4")
        assert wire.command("EHLO [127.0.0.1]").startswith("250 ")


def test_every_refused_recipient_has_its_log_line(
    gateway: LiveGateway, stage: Stage, capfd: pytest.CaptureFixture[str]
):
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        wire.command("RCPT TO:<a@b@c>")
        wire.command(f"RCPT TO:<nobody@{stage.domain.name}>")
        gateway.replace_directory(BrokenDirectory())  # type: ignore[arg-type]
        wire.command(f"RCPT TO:<late@{stage.domain.name}>")

    lines = [line for line in capfd.readouterr().out.splitlines() if "decision" in line]
    assert len(lines) == 3
    assert all("queue_id=" in line and "client=127.0.0.1" in line for line in lines)
    assert ["syntax-recipient" in lines[0], "unknown-address" in lines[1], "trouble" in lines[2]]
