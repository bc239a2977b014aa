"""What Postfix is told, over real sockets and a real database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from gateway.incoming import Envelope, Recipient
from gateway.models import Counter, RefusalCount, RoutingRecord
from gateway.postfix.names import MAILBOX_DOMAIN
from gateway.postfix.transaction import Transactions
from gateway.routing import replies
from gateway.routing.decision import Decision
from gateway.routing.facts import LookupFailed
from tenants import changes
from tenants.models import NextHop, Target
from tests.dns_server import run_dns_world
from tests.gateway.asking import Asking, Mailing
from tests.gateway.edge import LiveLookups, lookups
from tests.gateway.scripted_hop import scripted_hop
from tests.gateway.stage import ACTOR, Stage
from tests.waiting import wait_until

GATEWAY = "OK panel-smtp:[127.0.0.1]:2525"
TRY_LATER = "TEMP Local trouble, please try again later"
pytestmark = pytest.mark.usefixtures("socket_enabled")


@pytest.fixture
def listener(database: None) -> Iterator[LiveLookups]:
    with lookups(2525) as running:
        yield running


@pytest.fixture
def asking(listener: LiveLookups) -> Iterator[Asking]:
    with Asking(listener.port) as connection:
        yield connection


def to_mailbox(stage: Stage, name: str = "team@store.example", **hop: object) -> Target:
    box = stage.mailbox(name, port=2400, protocol=str(hop.pop("protocol", "lmtp")))
    for field, value in hop.items():
        setattr(box.next_hop, field, value)
    changes.save(box.next_hop, actor=ACTOR)
    return Target(kind="mailbox", mailbox=box)


class Failing:
    """A directory that is away."""

    async def facts(self, _recipients: object) -> None:
        raise LookupFailed("away")


# --- tables ---------------------------------------------------------------


def test_mailbox_goes_from_alias_to_next_hop(stage: Stage, asking: Asking) -> None:
    stage.alias("hello", to_mailbox(stage))

    status, name = asking.look_up("aliases", stage.address("Hello+news")).split(" ")

    assert status == "OK"
    assert name.startswith("team=store.example=")
    assert name.endswith(f"@{MAILBOX_DOMAIN}")
    assert asking.look_up("recipients", name) == "NOTFOUND "
    assert asking.look_up("aliases", name) == "NOTFOUND "
    assert asking.look_up("transport", name) == "OK panel-lmtp:inet:[127.0.0.1]:2400"


def test_every_mailbox_of_an_alias_is_named(stage: Stage, asking: Asking) -> None:
    stage.alias("all", *(to_mailbox(stage, f"{name}@store.example") for name in "abc"))

    _, names = asking.look_up("aliases", stage.address("all")).split(" ", 1)

    assert [name[:16] for name in names.split(", ")] == [f"{name}=store.example=" for name in "abc"]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("inbox", {}), ("discard", {}), ("forward", {"forward_to": "jo@elsewhere.example"})],
)
def test_what_postfix_cannot_do_goes_to_the_gateway(
    stage: Stage, asking: Asking, kind: str, fields: dict[str, str]
) -> None:
    stage.alias("mixed", to_mailbox(stage), Target(kind=kind, **fields))

    assert asking.look_up("recipients", stage.address("mixed")).startswith("OK ")
    assert asking.look_up("aliases", stage.address("mixed")) == "NOTFOUND "
    assert asking.look_up("transport", stage.address("mixed")) == GATEWAY


def test_next_hop_that_insists_on_tls_is_left_to_the_gateway(stage: Stage, asking: Asking) -> None:
    target = to_mailbox(stage)
    stage.alias("hello", target)
    _, name = asking.look_up("aliases", stage.address("hello")).split(" ")
    hop = target.mailbox.next_hop
    hop.tls = NextHop.Tls.REQUIRED
    changes.save(hop, actor=ACTOR)

    assert asking.look_up("aliases", stage.address("hello")) == "NOTFOUND "
    assert asking.look_up("transport", stage.address("hello")) == GATEWAY
    assert asking.look_up("transport", name).startswith("TEMP ")


def test_hosted_forward_is_followed_to_its_mailbox(stage: Stage, asking: Asking) -> None:
    stage.alias("inner", to_mailbox(stage))
    stage.alias("outer", Target(kind="forward", forward_to=stage.address("inner")))

    _, name = asking.look_up("aliases", stage.address("outer")).split(" ")

    assert name.startswith("team=store.example=")


def test_mailbox_that_is_an_alias_too_is_not_expanded_again(stage: Stage, asking: Asking) -> None:
    stage.alias("jo", Target(kind="inbox"))
    stage.alias("team", to_mailbox(stage, stage.address("jo")))

    _, name = asking.look_up("aliases", stage.address("team")).split(" ")

    assert asking.look_up("aliases", name) == "NOTFOUND "
    assert asking.look_up("transport", name) == "OK panel-lmtp:inet:[127.0.0.1]:2400"


@pytest.mark.parametrize("table", ["domains", "recipients", "aliases", "transport"])
def test_nothing_is_said_of_others(stage: Stage, asking: Asking, table: str) -> None:
    to_mailbox(stage, "ceo@elsewhere.example")
    foreign = "elsewhere.example" if table == "domains" else "ceo@elsewhere.example"

    assert asking.look_up(table, foreign) == "NOTFOUND "
    assert asking.look_up(table, "") == "NOTFOUND "
    assert asking.look_up(table, "a\x00b@\udcff") == "NOTFOUND "


def test_forged_mailbox_name_reaches_nobody(stage: Stage, asking: Asking) -> None:
    stage.alias("hello", to_mailbox(stage))
    _, name = asking.look_up("aliases", stage.address("hello")).split(" ")
    forged = name.replace("team=", "ceo=")

    assert asking.look_up("transport", forged) == "OK error:5.1.1 No such address here"


@pytest.mark.parametrize(
    ("local_part", "listed"),
    [("hello", True), ("busy", True), ("partners", True), ("postmaster", True), ("off", False),
     ("nobody", False), ("hello+spam", False)],
)  # fmt: skip
def test_recipients_are_those_somebody_could_write_to(
    stage: Stage, asking: Asking, local_part: str, *, listed: bool
) -> None:
    alias = stage.alias("hello")
    from tenants.models import SubaddressRule

    changes.save(SubaddressRule(address=alias, detail="spam", action="refuse"), actor=ACTOR)
    stage.alias("busy", rate_per_hour=1)
    stage.alias("partners", allowed_senders=["@partner.example"])
    stage.alias("off", enabled=False)

    found = asking.look_up("recipients", stage.address(local_part))

    assert found.startswith("OK ") == listed


def test_domains_and_the_bounce_domain_are_ours(stage: Stage, asking: Asking) -> None:
    stage.add_domain(f"pending.{stage.domain.name}", state="pending")

    assert asking.look_up("domains", stage.domain.name) == f"OK {stage.domain.name}"
    assert asking.look_up("domains", f"pending.{stage.domain.name}") == "NOTFOUND "
    assert asking.look_up("domains", "bounce.localhost") == "OK bounce.localhost"
    assert asking.look_up("transport", "srs0=x@bounce.localhost") == GATEWAY
    assert asking.look_up("aliases", "postmaster@localhost") == "OK postmaster@bounce.localhost"


def test_unknown_table_is_an_error(asking: Asking) -> None:
    assert asking.look_up("others", "x@y.example") == "PERM no such table"


def test_directory_away_makes_postfix_wait(listener: LiveLookups, asking: Asking) -> None:
    listener.server.tables._directory = listener.server.policy._directory = Failing()  # type: ignore[assignment]

    for table in ("recipients", "aliases", "transport"):
        assert asking.look_up(table, "x@y.example") == TRY_LATER
    action = Mailing(asking).rcpt("x@y.example")
    assert action == "451 4.3.0 Local trouble, please try again later"


# --- policy -----------------------------------------------------------------


def test_rate_is_taken_once_a_message_is_whole(stage: Stage, asking: Asking) -> None:
    stage.alias("busy", to_mailbox(stage), rate_per_hour=2)
    address = stage.address("busy")

    assert [Mailing(asking).rcpt(address) for _ in range(5)] == ["DUNNO"] * 5
    assert [Mailing(asking).send(address) for _ in range(2)] == ["DUNNO"] * 2
    assert Mailing(asking).send(address).startswith("450 4.2.1 ")


def test_rate_is_exact_over_many_connections(stage: Stage, listener: LiveLookups) -> None:
    stage.alias("busy", to_mailbox(stage), rate_per_hour=10)
    connections = [Asking(listener.port) for _ in range(8)]
    mailings = [Mailing(connections[n % 8]) for n in range(40)]
    assert {mailing.rcpt(stage.address("busy")) for mailing in mailings} == {"DUNNO"}

    def end(number: int) -> list[str]:
        return [mailing.end() for mailing in mailings[number::8]]

    with ThreadPoolExecutor(8) as threads:
        actions = [action for found in threads.map(end, range(8)) for action in found]

    for connection in connections:
        connection.close()
    assert actions.count("DUNNO") == 10
    assert sum(action.startswith("450 4.2.1 ") for action in actions) == 30


def test_message_is_refused_whole_where_one_counter_is_full(stage: Stage, asking: Asking) -> None:
    free = stage.alias("free", to_mailbox(stage, "a@store.example"), rate_per_hour=9)
    stage.alias("full", to_mailbox(stage, "b@store.example"), rate_per_hour=1)
    message = Mailing(asking)
    assert [message.rcpt(stage.address(name)) for name in ("free", "full")] == ["DUNNO"] * 2
    assert Mailing(asking).send(stage.address("full")) == "DUNNO"

    assert message.end(recipients=2).startswith("450 4.2.1 ")
    taken = Counter.objects.filter(key=f"rate:address:{free.id}").exclude(counts=[])
    assert not taken.exists()


def test_end_that_is_asked_twice_is_taken_once(stage: Stage, asking: Asking) -> None:
    stage.alias("busy", to_mailbox(stage), rate_per_hour=2)
    message = Mailing(asking)
    message.rcpt(stage.address("busy"))

    assert [message.end() for _ in range(5)] == ["DUNNO"] * 5
    assert Mailing(asking).send(stage.address("busy")) == "DUNNO"
    assert Mailing(asking).send(stage.address("busy")).startswith("450 ")


def test_recipient_said_twice_is_taken_once(stage: Stage, asking: Asking) -> None:
    stage.alias("busy", to_mailbox(stage), rate_per_hour=1)
    message = Mailing(asking)
    assert [message.rcpt(stage.address(name)) for name in ("busy", "Busy")] == ["DUNNO"] * 2

    assert message.end(recipients=2) == "DUNNO"


def test_what_the_gateway_will_count_is_not_counted_here(stage: Stage, asking: Asking) -> None:
    stage.alias("stored", rate_per_hour=1)

    assert [Mailing(asking).send(stage.address("stored")) for _ in range(3)] == ["DUNNO"] * 3


def test_stored_octets_are_looked_at_and_not_taken(database: None, asking: Asking) -> None:
    stage = Stage(stored_octets=1000)
    stage.alias("hello", to_mailbox(stage))

    assert Mailing(asking).send(stage.address("hello"), octets=5000) == "DUNNO"
    assert not Counter.objects.filter(key=f"stored:tenant:{stage.tenant.id}").exists()
    Counter.objects.create(key=f"stored:tenant:{stage.tenant.id}", total=1000)
    assert Mailing(asking).send(stage.address("hello")).startswith("450 4.2.2 ")


def test_tables_go_on_after_the_last_message_was_counted(stage: Stage, asking: Asking) -> None:
    stage.alias("busy", to_mailbox(stage), rate_per_hour=1)
    before = asking.look_up("aliases", stage.address("busy"))

    assert Mailing(asking).send(stage.address("busy")) == "DUNNO"

    assert Mailing(asking).rcpt(stage.address("busy")).startswith("450 ")
    assert asking.look_up("aliases", stage.address("busy")) == before
    assert before.startswith("OK ")


def test_oldest_messages_are_forgotten_first() -> None:
    transactions = Transactions(largest=3)
    envelope = Envelope("", "", None, "", "")
    decision = Decision(replies.ACCEPTED, "alias", "alias x", ())

    for instance, key in [("1", "a"), ("1", "a"), ("2", "b"), ("2", "c"), ("1", "a")]:
        transactions.remember(instance, envelope, Recipient(key, key, decision))
    assert transactions.get("2") is not None
    transactions.remember("3", envelope, Recipient("d", "d", decision))

    assert transactions.get("2") is None, "the one that was quiet longest"
    assert transactions.get("1") is not None


@pytest.mark.parametrize(("spf", "action"), [("-all", "550 5.7.23 "), ("+all", "DUNNO")])
def test_spf_is_judged_by_the_client_that_postfix_names(
    database: None, stage: Stage, settings: Settings, spf: str, action: str
) -> None:
    with run_dns_world() as dns:
        settings.DNS_RESOLVERS = dns.resolvers
        dns.serve("sender.example", {"sender.example TXT": [f"v=spf1 {spf}"]})
        stage.alias("strict", to_mailbox(stage), authentication="spf")
        with lookups(2525) as listener, Asking(listener.port) as asking:
            assert Mailing(asking).rcpt(stage.address("strict")).startswith(action)
            # The rest of the proof is in the message, which the gateway sees.
            assert asking.look_up("aliases", stage.address("strict")) == "NOTFOUND "
            assert asking.look_up("transport", stage.address("strict")) == GATEWAY


def test_mail_that_is_filtered_goes_to_the_gateway(
    database: None, stage: Stage, settings: Settings
) -> None:
    settings.CONTENT_FILTER_URL = "http://127.0.0.1:9"
    stage.alias("filtered", to_mailbox(stage), filters_mail="on")
    stage.alias("plain", to_mailbox(stage, "plain@store.example"))
    with lookups(2525) as listener, Asking(listener.port) as asking:
        assert asking.look_up("aliases", stage.address("filtered")) == "NOTFOUND "
        assert asking.look_up("transport", stage.address("filtered")) == GATEWAY
        assert asking.look_up("aliases", stage.address("plain")).startswith("OK ")
        message = Mailing(asking, size=100)
        assert message.rcpt(stage.address("plain")) == "DUNNO"
        assert message.rcpt(stage.address("filtered")) == "452 4.5.3 Too many recipients"


def test_mailbox_that_is_gone_by_its_hop_is_refused(stage: Stage, asking: Asking) -> None:
    with scripted_hop({"RCPT": "550 5.1.1 no such user"}) as hop:
        box = stage.mailbox("gone@store.example", port=hop.port, calls_ahead=True)
        stage.alias("gone", Target(kind="mailbox", mailbox=box))
        said = [Mailing(asking).rcpt(stage.address("gone")) for _ in range(2)]
    assert said == [str(replies.MAILBOX_GONE)] * 2
    assert len(hop.said("RCPT")) == 1


def test_proof_that_only_some_ask_for_splits_a_message(stage: Stage, asking: Asking) -> None:
    stage.alias("strict", authentication="dkim")
    stage.alias("plain")
    message = Mailing(asking, size=100)

    assert message.rcpt(stage.address("plain")) == "DUNNO"
    assert message.rcpt(stage.address("strict")) == "452 4.5.3 Too many recipients"


@pytest.mark.parametrize(("octets", "action"), [(1000, "DUNNO"), (1001, "552 5.2.3 Message size")])
def test_real_size_is_held_to_the_limit(
    stage: Stage, asking: Asking, octets: int, action: str
) -> None:
    stage.alias("small", max_message_octets=1000)

    assert Mailing(asking).send(stage.address("small"), octets=octets).startswith(action)


def test_limits_that_differ_split_a_message_of_unknown_size(stage: Stage, asking: Asking) -> None:
    stage.alias("small", max_message_octets=1000)
    stage.alias("large")
    undeclared, declared = Mailing(asking), Mailing(asking, size=500)

    assert undeclared.rcpt(stage.address("large")) == "DUNNO"
    assert undeclared.rcpt(stage.address("small")) == "452 4.5.3 Too many recipients"
    assert [declared.rcpt(stage.address(name)) for name in ("large", "small")] == ["DUNNO"] * 2


def test_message_that_nobody_asked_about_passes(asking: Asking) -> None:
    assert Mailing(asking).end() == "DUNNO"
    assert asking.action("DATA", instance="1", recipient="x@y.example") == "DUNNO"


def test_refusals_are_recorded_with_their_trace(
    stage: Stage, listener: LiveLookups, asking: Asking
) -> None:
    stage.alias("small", max_message_octets=1000)
    Mailing(asking, instance="1a2b.3c").rcpt(stage.address("nobody"))
    Mailing(asking).send(stage.address("small"), octets=2000)
    listener.flush_refusals()

    found = {each.reason: each for each in RoutingRecord.objects.filter(domain=stage.domain)}
    counted = RefusalCount.objects.filter(domain_name=stage.domain.name)
    assert found.keys() == {"unknown-address", "size"}
    assert found["unknown-address"].queue_id == "1a2b.3c"
    assert found["unknown-address"].client == "192.0.2.7"
    assert found["unknown-address"].sender == "ann@sender.example"
    assert found["size"].trace[-1][:2] == ["message", "refused"]
    assert {each.reason: each.count for each in counted} == {"unknown-address": 1, "size": 1}


@pytest.mark.parametrize(
    ("attributes", "recipient", "action"),
    [
        ({}, "Postmaster", "DUNNO"),
        ({}, "a\x07b@x.example", "553 5.1.3 Recipient address syntax is wrong"),
        ({}, "nolocalpart", "553 5.1.3 Recipient address syntax is wrong"),
        ({"sender": "root"}, "x@y.example", "553 5.1.7 Sender address syntax is wrong"),
        ({"sender": "a\udcffb@c.example"}, "x@y.example", "553 5.1.7 Sender address"),
        ({"helo_name": "\udcff", "client_address": "unknown"}, "x@y.example", "550 5.7.1 "),
        ({"size": 50_000_001}, "x@y.example", "552 5.3.4 Message size exceeds fixed limit"),
    ],
)
def test_policy_answers_whatever_postfix_passes_on(
    asking: Asking, attributes: dict[str, str], recipient: str, action: str
) -> None:
    assert Mailing(asking, **attributes).rcpt(recipient).startswith(action)


# --- the listener -----------------------------------------------------------


def test_nonsense_ends_its_own_connection_alone(listener: LiveLookups, asking: Asking) -> None:
    with Asking(listener.port) as other:
        other.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\n\n")
        assert other.read_all() == b""

    assert asking.look_up("domains", "x.example") == "NOTFOUND "


def test_error_of_ours_ends_its_own_connection_alone(
    listener: LiveLookups, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_lookup: object) -> None:
        raise RuntimeError("an error of ours")

    with Asking(listener.port) as other, monkeypatch.context() as patched:
        patched.setattr(listener.server.tables, "look_up", fail)
        other.write(b"11:domains x.y,")
        assert other.read_all() == b""

    assert asking.look_up("domains", "x.example") == "NOTFOUND "


def test_stopping_ends_idle_connections(listener: LiveLookups, asking: Asking) -> None:
    assert asking.look_up("domains", "x.example") == "NOTFOUND "

    listener.stop()

    assert asking.read_all() == b""
    with pytest.raises(ConnectionRefusedError):
        Asking(listener.port)


def test_unix_socket_is_taken_over_from_an_earlier_process(
    listener: LiveLookups, tmp_path: Path
) -> None:
    import asyncio

    path = str(tmp_path / "lookups")
    for _ in range(2):
        listening = listener.server.listen_on_socket(path)
        asyncio.run_coroutine_threadsafe(listening, listener.loop).result(10)

    with Asking(path) as connection:
        assert connection.look_up("domains", "x.example") == "NOTFOUND "
        wait_until(lambda: listener.server.connections == 1)
