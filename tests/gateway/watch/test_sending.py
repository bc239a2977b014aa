"""Notices over real SMTP and real HTTP: sent once, tried again, given up, signed, kept inside."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any
from urllib.parse import SplitResult

import pytest

from gateway.watch import alarms, notices, sending, webhook
from gateway.watch.facts import Finding, Kind, Severity
from gateway.watch.models import AlarmRecipient, Notice
from gateway.watch.outcome import Undelivered
from gateway.watch.webhook import Posting, parse_secret, parse_url, post
from tests import world as make
from tests.gateway.sink import Sink, free_port
from tests.gateway.watch.http_sink import HttpSink, http_sink

pytestmark = pytest.mark.usefixtures("db", "socket_enabled")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture
def hook(settings: Any) -> Iterator[HttpSink]:
    settings.ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES = True
    with http_sink() as sink:
        yield sink


def by_mail() -> AlarmRecipient:
    return make.save(AlarmRecipient(name="On call", address="on-call@staff.example"))


def by_webhook(url: str) -> AlarmRecipient:
    return make.save(AlarmRecipient(name="Chat", channel="webhook", address=url))


def open_alarm() -> None:
    finding = Finding(Kind.DISK, "d", Severity.CRITICAL, "The disk is full", "3 MB are left.")
    alarms.settle([finding], now=NOW)


def test_alarm_is_mailed_once(smtp: Sink, settings: Any) -> None:
    settings.PANEL_URL = "https://panel.example/"
    by_mail()
    open_alarm()
    assert sending.send_due(lambda: NOW) == 1
    assert sending.send_due(lambda: NOW) == 0
    [received] = smtp.received
    assert received.recipients == ("on-call@staff.example",)
    message = message_from_bytes(received.octets)
    [notice] = Notice.objects.all()
    assert message["Subject"] == "Critical opened: The disk is full"
    assert message["Message-ID"] == f"<{notice.id}@localhost>"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_payload()
    assert "3 MB are left." in text
    assert "https://panel.example/admin/watch/alarm/" in text
    assert (notice.state, notice.sent_at) == ("sent", NOW)


def test_title_with_a_line_end_makes_no_header(smtp: Sink) -> None:
    by_mail()
    title = "Bad\r\nBcc: other@evil.example"
    alarms.settle([Finding(Kind.TARGET, "x", Severity.WARNING, title, "")], now=NOW)
    sending.send_due(lambda: NOW)
    [received] = smtp.received
    assert received.recipients == ("on-call@staff.example",)
    assert message_from_bytes(received.octets)["Bcc"] is None


def test_what_cannot_be_sent_is_tried_again_later_and_given_up_in_the_end(settings: Any) -> None:
    settings.PANEL_MAIL_URL = f"smtp://127.0.0.1:{free_port()}"
    by_mail()
    open_alarm()
    moment, tries = NOW, []
    while (notice := Notice.objects.get()).state == "waiting":
        moment = max(moment, notice.next_attempt_at)
        sending.send_due(lambda at=moment: at)  # type: ignore[misc]
        tries.append(moment - NOW)
    assert [int(each.total_seconds() // 60) for each in tries[:5]] == [0, 1, 3, 7, 15]
    assert notice.state == "failed"
    assert sending.GIVEN_UP_AFTER <= tries[-1] < sending.GIVEN_UP_AFTER + sending.LONGEST_RETRY
    assert "refused" in notice.reply.lower()


def test_without_a_server_the_notice_says_what_to_set(settings: Any) -> None:
    settings.PANEL_MAIL_URL = ""
    by_mail()
    open_alarm()
    sending.send_due(lambda: NOW)
    assert "PANEL_MAIL_URL" in Notice.objects.get().reply


def test_what_another_worker_has_claimed_is_left_until_its_lease_ends() -> None:
    by_mail()
    open_alarm()
    assert sending.claim(NOW) is not None
    assert sending.claim(NOW) is None
    again = sending.claim(NOW + sending.LEASE)
    assert again is not None
    assert again.attempts == 2


def test_webhook_gets_signed_json_with_a_stable_id(hook: HttpSink, settings: Any) -> None:
    settings.ALARM_WEBHOOK_SECRET = [SECRET]
    by_webhook(hook.url)
    open_alarm()
    hook.status = 503
    assert sending.send_due(lambda: NOW) == 0
    hook.status = 204
    assert sending.send_due(lambda: NOW + timedelta(hours=1)) == 1
    (first, _), (headers, body) = hook.received
    [notice] = Notice.objects.all()
    assert headers["webhook-id"] == first["webhook-id"] == str(notice.id)
    assert headers["path"] == "/hook?key=1"
    assert headers["host"] == f"127.0.0.1:{hook.port}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(base64.b64decode(SECRET[6:]), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    told = json.loads(body)
    assert told["type"] == "alarm.changed"
    [alarm] = told["data"]["alarms"]
    assert (alarm["turn"], alarm["kind"], alarm["severity"]) == ("opened", "disk", "critical")


def test_webhook_is_signed_with_each_secret_while_one_takes_the_place_of_another(
    hook: HttpSink,
) -> None:
    older = "whsec_" + base64.b64encode(b"another-secret-of-24-octets-or-more").decode()
    both = Posting(hook.url, "1", b"{}", (SECRET, older), allows_private=True)
    post(both, now=NOW)
    for secret in (SECRET, older):
        post(replace(both, secrets=(secret,)), now=NOW)
    signed = [headers["webhook-signature"] for headers, _ in hook.received]
    assert signed[0].split(" ") == signed[1:]
    assert all(each.startswith("v1,") for each in signed)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ("", timedelta(minutes=1)),
        ("5", timedelta(minutes=1)),
        ("600", timedelta(minutes=10)),
        ("999999999999", sending.LONGEST_RETRY),
        ("Sun, 01 Mar 2026 12:20:00 GMT", timedelta(minutes=20)),
        ("Sun, 01 Mar 2020 12:20:00 GMT", timedelta(minutes=1)),
        ("soon", timedelta(minutes=1)),
        ("-7", timedelta(minutes=1)),
        ("٣٠٠", timedelta(minutes=1)),
    ],
)
def test_webhook_that_asks_to_wait_is_waited_for_up_to_an_hour(
    hook: HttpSink, asked: str, waits: timedelta
) -> None:
    by_webhook(hook.url)
    open_alarm()
    hook.status, hook.retry_after = 429, asked
    sending.send_due(lambda: NOW)
    assert Notice.objects.get().next_attempt_at - NOW == waits


def test_webhook_that_is_gone_is_switched_off_and_its_history_says_why(hook: HttpSink) -> None:
    recipient = by_webhook(hook.url)
    open_alarm()
    hook.status = 410
    assert sending.send_due(lambda: NOW) == 0
    notice = Notice.objects.get()
    assert (notice.state, notice.reply) == ("failed", "410 ok")
    recipient.refresh_from_db()
    assert not recipient.enabled
    [*_, edit] = recipient.events.order_by("pgh_id")  # type: ignore[attr-defined]
    assert "410 Gone" in edit.pgh_context.metadata["reason"]


def test_webhook_without_a_secret_is_not_signed(hook: HttpSink) -> None:
    assert post(Posting(hook.url, "1", b"{}", allows_private=True), now=NOW) == "200 ok"
    assert "webhook-signature" not in hook.received[0][0]


def test_redirect_is_not_followed(hook: HttpSink) -> None:
    hook.status, hook.location, hook.answer = 302, hook.url, b"elsewhere"
    with pytest.raises(Undelivered, match="302 elsewhere"):
        post(Posting(hook.url, "1", b"{}", allows_private=True), now=NOW)
    assert len(hook.received) == 1


def test_answer_is_cut_and_cleaned(hook: HttpSink) -> None:
    hook.answer = b"\x1b[31mred\r\n" + b"x" * 100_000
    said = post(Posting(hook.url, "1", b"{}", allows_private=True), now=NOW)
    assert said.startswith("200 [31mred")
    assert len(said) < 400
    assert said.isprintable()


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"),
        *("10.0.0.1", "x" * 64 + ".example", "x..example"),
    ],
)
def test_private_addresses_are_not_connected_to(hook: HttpSink, host: str) -> None:
    with pytest.raises(Undelivered, match=r"private network|no address"):
        post(Posting(f"http://{host}:{hook.port}/", "1", b"{}"), now=NOW)
    assert hook.received == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x.example/",
        "https://",
        "https://user@x.example/",
        "x.example",
        "http://x:0/",
        "https://x\x7f/",
        "https://bücher..example/",
        "https://" + "ü" * 64 + ".example/",
    ],
)
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"[^.]$"):  # the form ends the sentence
        parse_url(url)


def test_host_in_letters_of_its_own_is_called_by_its_a_label(
    hook: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def here(parts: SplitResult, **_terms: bool) -> str:
        assert parts.hostname == "xn--bcher-kva.example"
        return "127.0.0.1"

    monkeypatch.setattr(webhook, "_judged_address", here)
    url = f"http://bücher.example:{hook.port}/straße?für=1"
    assert post(Posting(url, "1", b"{}"), now=NOW) == "200 ok"
    [(headers, _)] = hook.received
    assert headers["host"] == f"xn--bcher-kva.example:{hook.port}"
    assert headers["path"] == "/stra%C3%9Fe?f%C3%BCr=1"


@pytest.mark.parametrize("address", ["https://bücher..example/", "https://x.example:port/"])
def test_address_that_became_unusable_delays_no_other_and_is_given_up(
    hook: HttpSink, address: str
) -> None:
    odd = by_webhook("https://x.example/")
    AlarmRecipient.objects.filter(pk=odd.pk).update(name="Odd", address=address)
    by_webhook(hook.url)
    open_alarm()
    assert sending.send_due(lambda: NOW) == 1
    notice = Notice.objects.get(recipient=odd)
    assert (notice.state, notice.attempts) == ("waiting", 1)
    assert sending.send_due(lambda: NOW + sending.GIVEN_UP_AFTER) == 0
    notice.refresh_from_db()
    assert notice.state == "failed"


@pytest.mark.parametrize("secret", ["abc", "whsec_", "whsec_abc", "whsec_!!!", SECRET[6:]])
def test_secret_of_a_wrong_form_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        parse_secret(secret)


def test_recipient_that_was_switched_off_meanwhile_is_not_told(smtp: Sink) -> None:
    recipient = by_mail()
    notices.queue_test(recipient, now=NOW)
    AlarmRecipient.objects.update(enabled=False)
    sending.send_due(lambda: NOW)
    assert smtp.received == []
