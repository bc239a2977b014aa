"""What senders ask of delivery reports (RFC 3461): checked, kept to the octet, passed on."""

from collections.abc import Iterator

import pytest

from gateway.delivery import drain
from gateway.ids import uuid7
from gateway.models import Delivery, Message
from gateway.routing import replies
from gateway.smtpd.command import CommandError, parse_mail, parse_rcpt
from gateway.smtpd.transaction import Terms
from gateway.transports.base import Envelope
from gateway.transports.reply import Reply
from gateway.transports.transaction import plan
from tenants.models import Target
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.stage import Stage
from tests.gateway.test_starttls import keywords

MAIL = {
    "3461-4.3 whole message": ("RET=FULL", "RET=FULL"),
    "3461-4.3 header, any case": ("ret=hdrs", "RET=hdrs"),
    "3461-4.4 envelope id": ("ENVID=QQ314159", "ENVID=QQ314159"),
    "3461-4.4 encoded octets stay": ("ENVID=a+2Bb+3Dc RET=FULL", "RET=FULL ENVID=a+2Bb+3Dc"),
    "3461-4.4 longest": ("ENVID=" + "x" * 100, "ENVID=" + "x" * 100),
}
BAD_MAIL = {
    "3461-4.3 other word": "RET=ALL",
    "3461-4.3 no value": "RET",
    "3461-4.3 twice": "RET=FULL RET=FULL",
    "3461-4.4 no value": "ENVID",
    "3461-4.4 bad encoding": "ENVID=a+2",
    "3461-4.4 lower-case digits": "ENVID=a+2b",
    "3461-5.4 too long": "ENVID=" + "x" * 101,
}
RCPT = {
    "3461-4.1 never": ("NOTIFY=NEVER", "NOTIFY=NEVER"),
    "3461-4.1 list": ("NOTIFY=success,FAILURE,Delay", "NOTIFY=success,FAILURE,Delay"),
    "3461-4.2 original": ("ORCPT=rfc822;Bob+2Bnews@x", "ORCPT=rfc822;Bob+2Bnews@x"),
    "3461-4.2 other type": ("ORCPT=x400;/S+3Dx/", "ORCPT=x400;/S+3Dx/"),
    "6533-3 UTF-8": (
        "ORCPT=utf-8;jörg@b\u00fccher.example",
        "ORCPT=utf-8;jörg@b\u00fccher.example",
    ),
    "both": ("ORCPT=rfc822;a@b NOTIFY=DELAY", "NOTIFY=DELAY ORCPT=rfc822;a@b"),
}
BAD_RCPT = {
    "3461-4.1 never and more": "NOTIFY=NEVER,DELAY",
    "3461-4.1 twice the same": "NOTIFY=DELAY,delay",
    "3461-4.1 nothing": "NOTIFY",
    "3461-4.1 other word": "NOTIFY=ALWAYS",
    "3461-4.2 no type": "ORCPT=a@b",
    "3461-4.2 bad encoding": "ORCPT=rfc822;a+b@c",
    "3461-5.4 too long": "ORCPT=rfc822;" + "x" * 500,
    "6533-3 UTF-8 of another type": "ORCPT=rfc822;j\u00f6rg@x",
    "6533-3 invalid UTF-8": "ORCPT=utf-8;\udcff@x",
}


@pytest.mark.parametrize(("typed", "kept"), MAIL.values(), ids=MAIL.keys())
def test_parameters_of_mail_are_kept(typed: str, kept: str):
    assert parse_mail(f"FROM:<a@b.example> {typed} SIZE=1", offers_dsn=True).dsn == kept


@pytest.mark.parametrize(("typed", "kept"), RCPT.values(), ids=RCPT.keys())
def test_parameters_of_rcpt_are_kept(typed: str, kept: str):
    assert parse_rcpt(f"TO:<a@b.example> {typed}", smtputf8=True, offers_dsn=True).dsn == kept


@pytest.mark.parametrize("typed", BAD_MAIL.values(), ids=BAD_MAIL.keys())
def test_wrong_parameter_of_mail_is_refused(typed: str):
    with pytest.raises(CommandError) as error:
        parse_mail(f"FROM:<a@b.example> {typed}", offers_dsn=True)
    assert error.value.reply == replies.BAD_PARAMETER


@pytest.mark.parametrize("typed", BAD_RCPT.values(), ids=BAD_RCPT.keys())
def test_wrong_parameter_of_rcpt_is_refused(typed: str):
    with pytest.raises(CommandError) as error:
        parse_rcpt(f"TO:<a@b.example> {typed}", smtputf8=True, offers_dsn=True)
    assert error.value.reply == replies.BAD_PARAMETER


def test_utf8_original_needs_smtputf8():
    with pytest.raises(CommandError) as error:
        parse_rcpt("TO:<a@b.example> ORCPT=utf-8;\u00e4@x", smtputf8=False, offers_dsn=True)
    assert error.value.reply == replies.NEEDS_SMTPUTF8


@pytest.mark.parametrize("command", ["RET=FULL", "ENVID=x"])
def test_not_offered_is_not_recognized(command: str):
    with pytest.raises(CommandError) as error:
        parse_mail(f"FROM:<a@b.example> {command}")
    assert error.value.reply == replies.UNKNOWN_PARAMETER


# --- passed on -----------------------------------------------------------------


def planned(extensions: dict[str, str], recipient_dsn: str = "NOTIFY=NEVER") -> list[bytes]:
    envelope = Envelope(
        uuid7(), "a@b.example", "box@store.example", "bob@hosted.example",
        message_dsn="RET=HDRS ENVID=x", recipient_dsn=recipient_dsn,
    )  # fmt: skip
    transaction = plan([envelope], b"Subject: x\r\n\r\nx\r\n", extensions)
    assert not isinstance(transaction, Reply)
    return transaction.commands


def test_hop_that_offers_dsn_gets_what_was_asked():
    assert planned({"dsn": ""})[:2] == [
        b"MAIL FROM:<a@b.example> RET=HDRS ENVID=x\r\n",
        b"RCPT TO:<box@store.example> NOTIFY=NEVER\r\n",
    ]


def test_hop_without_dsn_gets_none_of_it():
    assert planned({})[:2] == [
        b"MAIL FROM:<a@b.example>\r\n",
        b"RCPT TO:<box@store.example>\r\n",
    ]


def test_utf8_original_is_left_out_of_a_transaction_without_smtputf8():
    assert planned({"dsn": ""}, "ORCPT=utf-8;\u00e4@x")[1] == b"RCPT TO:<box@store.example>\r\n"


# --- over sockets ----------------------------------------------------------------


@pytest.fixture(params=["plain", "aiosmtpd"])
def offering(
    request: pytest.FixtureRequest, mail: None, socket_enabled: None
) -> Iterator[LiveGateway]:
    is_plain = request.param == "plain"
    with live_gateway(is_plain=is_plain, terms=Terms(offers_dsn=True)) as running:
        yield running


def test_offered_only_where_the_operator_says_so(offering: LiveGateway):
    with offering.connect() as wire, live_gateway() as silent, silent.connect() as other:
        assert "DSN" in keywords(wire)
        assert "DSN" not in keywords(other)
        assert other.command("MAIL FROM:<> RET=FULL") == str(replies.UNKNOWN_PARAMETER)


def test_asked_is_stored_and_reaches_the_next_hop_to_the_octet(offering: LiveGateway, stage: Stage):
    """The next hop is a second domain behind the same gateway."""
    there = Stage()
    there.alias("box")
    box = stage.mailbox(there.address("box"), port=offering.port)
    stage.alias("hello", Target(kind="mailbox", mailbox=box))
    mail, rcpt = "RET=HDRS ENVID=QQ+2B1", "NOTIFY=SUCCESS,delay ORCPT=rfc822;Hello+2Bx@y"

    with offering.connect() as wire:
        wire.talk(f"C: MAIL FROM:<ann@sender.example> {mail}\nS: 250")
        wire.talk(f"C: RCPT TO:<{stage.address('hello')}> {rcpt}\nS: 250\nC: DATA\nS: 354")
        wire.send_content(b"Subject: x\r\n\r\nx\r\n")
    drain()

    for domain in (stage.domain, there.domain):
        [message] = Message.objects.filter(records__domain=domain)
        [delivery] = Delivery.objects.filter(record__domain=domain)
        assert (message.dsn, delivery.dsn) == (mail, rcpt)
