"""Forwards: the return path that the smarthost is given, and the way back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from gateway import smarthost
from gateway.delivery import drain
from gateway.directory import read_facts
from gateway.models import Delivery
from gateway.routing import loops, replies, srs
from gateway.routing.address import Address
from gateway.routing.facts import Session
from gateway.routing.resolve import resolve
from tenants.models import Target
from tests.gateway import outbox
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.sink import Sink
from tests.gateway.stage import Stage

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
FORWARD = {"kind": "forward", "recipients": ("carl@elsewhere.example",), "rewrites_sender": True}
SECRET = b"newest"


@pytest.fixture
def relay(sink: Sink, settings: Settings) -> Sink:
    """The sink as the platform's smarthost."""
    settings.SMARTHOST_URL = f"smtp://127.0.0.1:{sink.port}"
    settings.SRS_SECRETS = ["newest", "older"]
    settings.BOUNCE_DOMAIN = "bounce.example"
    return sink


def test_sender_is_rewritten_and_the_bounce_finds_back(relay: Sink) -> None:
    outbox.put(sender="Ann@sender.example", **FORWARD)
    drain()
    [received] = relay.received
    path = Address.parse(received.sender)
    assert path.domain == "bounce.example"
    assert received.recipients == ("carl@elsewhere.example",)
    assert received.trace["Delivered-To"] == "bob@hosted.example"
    back = srs.reverse(path.local_part, secrets=[SECRET], day=timezone.now().toordinal())
    assert str(back) == "Ann@sender.example"


@pytest.mark.parametrize("fields", [{"sender": ""}, {"null_sender": True}])
def test_null_sender_stays_null(relay: Sink, fields: dict[str, object]) -> None:
    outbox.put(**FORWARD, **fields)
    drain()
    assert relay.received[0].sender == ""


def test_long_sender_gets_an_opaque_return_path(relay: Sink) -> None:
    sender = f"{'a' * 40}@quite-a-long-name.example"
    [delivery] = outbox.put(sender=sender, **FORWARD)
    drain()
    path = Address.parse(relay.received[0].sender)
    assert srs.is_opaque(path.local_part)
    assert srs.read_opaque(path.local_part.upper(), secrets=[b"next", SECRET]) == delivery.id
    bounce = resolve(path, Session(None), read_facts([path]))
    assert bounce.reply.is_accepted
    assert [str(each.recipient) for each in bounce.destinations] == [sender]


def test_return_path_of_a_sender_that_cannot_be_read_is_unknown(settings: Settings) -> None:
    settings.SRS_SECRETS, settings.BOUNCE_DOMAIN = ["newest"], "bounce.example"
    [delivery] = outbox.put(sender="SRS0=x=x=jane@erased.invalid@bounces.example", **FORWARD)
    path = srs.opaque(delivery.id, bounce_domain="bounce.example", secret=SECRET)

    assert resolve(path, Session(None), read_facts([path])).reply == replies.UNKNOWN_ADDRESS


@pytest.mark.parametrize("path", ["R0=aaaaaaaa=bbbb", "R0=", "R0=ü=x", "R0=aaaaaaaa"])
def test_forged_opaque_return_path_is_refused(path: str) -> None:
    with pytest.raises(srs.SrsError):
        srs.read_opaque(path, secrets=[SECRET])


def test_mailbox_delivery_keeps_the_sender(relay: Sink) -> None:
    outbox.put(outbox.add_hop(relay.port))
    drain()
    assert relay.received[0].sender == "ann@sender.example"


def test_domain_smarthost_goes_before_the_platform_one(relay: Sink, settings: Settings) -> None:
    settings.SMARTHOST_URL = ""
    outbox.put(outbox.add_hop(relay.port), **FORWARD)
    drain()
    assert len(relay.received) == 1


def test_without_a_smarthost_forwards_wait_and_say_why(settings: Settings) -> None:
    settings.SMARTHOST_URL = ""
    [delivery] = outbox.put(**FORWARD)
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    assert delivery.last_reply == "No smarthost takes forwards to elsewhere: set SMARTHOST_URL."
    assert delivery.next_attempt_at - timezone.now() > timedelta(minutes=4)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://relay.example", ("relay.example", 25, "opportunistic", None)),
        ("smtp://relay.example:2525?tls=none", ("relay.example", 2525, "none", None)),
        ("smtps://a%40b:p%3Aw@relay.example", ("relay.example", 465, "implicit", ("a@b", "p:w"))),
        ("smtp://a:b@relay.example:587", ("relay.example", 587, "required", ("a", "b"))),
        ("smtp+starttls://relay.example", ("relay.example", 587, "required", None)),
    ],
)
def test_smarthost_url_is_read(url: str, expected: tuple[object, ...]) -> None:
    found = smarthost.parse(url)
    assert found is not None
    login = (found.login.username, found.login.password) if found.login else None
    assert (found.hop.host, found.hop.port, found.hop.tls, login) == expected


@pytest.mark.parametrize("url", ["relay.example:25", "http://relay.example", "smtp://x?tls=maybe"])
def test_smarthost_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SMARTHOST_URL"):
        smarthost.parse(url)


# --- forwards that come back -------------------------------------------------------


@pytest.fixture(params=["plain", "aiosmtpd"])
def ours(request: pytest.FixtureRequest, relay: Sink) -> Iterator[LiveGateway]:
    """A gateway that forwards to the relay."""
    with live_gateway(is_plain=request.param == "plain") as running:
        yield running


@pytest.fixture
def forwarded(ours: LiveGateway, relay: Sink, stage: Stage) -> bytes:
    """A message as the relay gets it from the alias `away`."""
    stage.alias("away", Target(kind="forward", forward_to="carl@elsewhere.example"))
    stage.alias("hello")
    assert ours.send(stage.address("Away")).startswith("250")
    drain()
    return relay.received[0].octets


def test_forward_that_comes_back_is_refused(
    ours: LiveGateway, stage: Stage, forwarded: bytes
) -> None:
    returned = b"Received: from elsewhere.example\r\nX-Other: x\r\n" + forwarded

    assert ours.send(stage.address("away"), returned) == str(replies.LOOP)
    assert ours.send(stage.address("AWAY"), returned, sender="x@y.example") == str(replies.LOOP)
    assert ours.send(stage.address("hello"), returned).startswith("250")


def test_mark_of_an_older_secret_is_known(
    ours: LiveGateway, stage: Stage, forwarded: bytes, settings: Settings
) -> None:
    mark = loops.mark(stage.address("away"), secret=b"older").encode()

    assert ours.send(stage.address("away"), mark + b"\r\nx\r\n") == str(replies.LOOP)


def test_forged_mark_refuses_nothing(ours: LiveGateway, stage: Stage, forwarded: bytes) -> None:
    mark = loops.mark(stage.address("away"), secret=b"a stranger's").encode()

    assert ours.send(stage.address("away"), mark + b"\r\nx\r\n").startswith("250")


def test_address_beside_the_looping_one_gets_its_mail(
    ours: LiveGateway, stage: Stage, forwarded: bytes
) -> None:
    with ours.connect() as wire:
        wire.talk(
            f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('away')}>\nS: 250\n"
            f"C: RCPT TO:<{stage.address('hello')}>\nS: 250\nC: DATA\nS: 354"
        )
        assert wire.send_content(forwarded).startswith("250")


# --- mailboxes whose server sends back ---------------------------------------------


@pytest.fixture
def in_mailbox(ours: LiveGateway, relay: Sink, stage: Stage) -> bytes:
    """A message as the server of a mailbox gets it, written to the alias `team`."""
    box = stage.mailbox("box@store.example", port=relay.port)
    stage.alias("team", Target(kind="mailbox", mailbox=box))
    stage.alias("hello")
    assert ours.send(stage.address("Team")).startswith("250")
    drain()
    return relay.received[0].octets


def test_mail_that_a_mailbox_sends_back_to_its_address_is_refused(
    ours: LiveGateway, stage: Stage, in_mailbox: bytes
) -> None:
    returned = b"Received: from store.example\r\n" + in_mailbox

    assert ours.send(stage.address("team"), returned) == str(replies.LOOP)


@pytest.mark.parametrize(
    ("name", "made_of"),
    [
        ("hello", b"List-Id: <team.store.example>\r\n%s"),  # a list there has another address
        ("team", b"Subject: away\r\nAuto-Submitted: auto-replied\r\n\r\nback on Monday\r\n"),
        ("team", b"Content-Type: message/rfc822\r\n\r\n%s"),  # attached, as in a bounce
    ],
)
def test_what_a_mailbox_honestly_sends_passes(
    ours: LiveGateway, stage: Stage, in_mailbox: bytes, name: str, made_of: bytes
) -> None:
    sent = made_of.replace(b"%s", in_mailbox)

    assert ours.send(stage.address(name), sent).startswith("250")
