"""What stands in a message: who may read it, after a reason, logged, and as nothing but text."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import ProgrammingError, transaction
from django.test import Client
from django.utils import timezone

from gateway import retention
from gateway.models import BodyReading, Delivery, Message
from tests.gateway import outbox
from tests.pages import url_of
from tests.staff import client_of, make_staff

pytestmark = pytest.mark.django_db
EVIL = (
    b"Subject: <script>alert(1)</script>\r\n"
    b"Content-Type: text/html\r\n\r\n"
    b"<img src=https://track.example/p.gif onerror=alert(2)>read me &lt;b&gt;"
)
CODES = ("view_message", "view_routingrecord", "read_body", "download_body")


@pytest.fixture
def message() -> Message:
    [delivery] = outbox.put(octets=EVIL, state=Delivery.State.HELD)
    return delivery.message


def staff(*codes: str, name: str = "operator") -> User:
    user = make_staff(name, is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    return user


@pytest.fixture
def client() -> Client:
    return client_of(staff(*CODES))


def open_body(client: Client, message: Message, reason: str = "ticket 7"):
    url = url_of(Message, "body", message.pk)
    return client.post(url, {"change_reason": reason})


def raw_url(client: Client, message: Message) -> str:
    reading = open_body(client, message).context_data["reading"]
    return url_of(Message, "body_raw", message.pk, reading.pk)


def test_a_body_is_read_as_text_and_that_is_written_down(client: Client, message: Message) -> None:
    page = open_body(client, message)
    shown = page.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "read me &lt;b&gt;" in shown
    for never in ("<script>alert", "track.example", "onerror"):
        assert never not in shown
    assert page["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in page["Cache-Control"]
    row = BodyReading.objects.get()
    assert (row.actor, row.kind, row.reason, row.message_id, row.queue_id) == (
        "operator",
        "read",
        "ticket 7",
        message.pk,
        message.queue_id,
    )
    for url in (message.get_absolute_url(), message.records.get().get_absolute_url()):
        assert "ticket 7" in client.get(url).content.decode()


def test_each_view_is_a_row_and_takes_a_reason(client: Client, message: Message) -> None:
    for count in (1, 2):
        assert "read me" in open_body(client, message).content.decode()
        assert BodyReading.objects.count() == count
    again = client.get(url_of(Message, "body", message.pk)).content.decode()
    assert "read me" not in again
    assert "Why do you have to read it?" in again


def test_names_of_attachments_are_shown_as_text(client: Client) -> None:
    name = b"<script>alert(3)</script>"
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b'Content-Type: application/pdf; name="' + name + b'"\r\n'
        b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\nx\r\n--b--\r\n'
    )
    [delivery] = outbox.put(octets=octets, state=Delivery.State.HELD)

    shown = open_body(client, delivery.message).content.decode()

    assert "&lt;script&gt;alert(3)" in shown
    assert "<script>alert" not in shown


def test_a_reading_is_good_for_a_download_for_a_while(
    client: Client, message: Message, time_machine
) -> None:
    url = raw_url(client, message)
    time_machine.move_to(timezone.now() + timedelta(minutes=16))
    assert client.post(url).url == url_of(Message, "body", message.pk)


def test_nothing_is_shown_without_a_reason(client: Client, message: Message) -> None:
    page = open_body(client, message, " ").content.decode()
    assert "Say why" in page
    assert "read me" not in page
    assert not BodyReading.objects.exists()


def test_nobody_reads_by_somebody_else_s_reason(client: Client, message: Message) -> None:
    url = raw_url(client, message)
    other = client_of(staff(*CODES, name="other"))
    assert other.post(url).url == url_of(Message, "body", message.pk)


@pytest.mark.parametrize("codes", [(), ("view_message",), ("read_body",)])
def test_reading_needs_its_own_permission(message: Message, codes: tuple[str, ...]) -> None:
    client = client_of(staff(*codes))
    url = url_of(Message, "body", message.pk)
    assert client.get(url).status_code == 403
    assert client.post(url, {"change_reason": "x"}).status_code == 403
    assert client.post(f"{url}1/raw/").status_code == 403
    assert not BodyReading.objects.exists()
    page = client.get(message.get_absolute_url())
    assert url not in page.content.decode()


def test_a_download_is_the_octets_as_a_file_and_logged_too(
    client: Client, message: Message
) -> None:
    url = raw_url(client, message)
    assert client.get(url).status_code == 302
    file = client.post(url)
    assert file.content == EVIL
    assert file["Content-Type"] == "message/rfc822"
    assert file["Content-Disposition"] == f'attachment; filename="{message.queue_id}.eml"'
    assert file["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in file["Content-Security-Policy"]
    assert [row.kind for row in BodyReading.objects.order_by("pk")] == ["read", "download"]


def test_a_download_needs_a_permission_more(message: Message) -> None:
    client = client_of(staff("view_message", "read_body"))
    page = open_body(client, message)
    assert "Download" not in page.content.decode()
    assert client.post(raw_url(client, message)).status_code == 403


def test_what_was_purged_is_told_and_offered_to_nobody(client: Client, message: Message) -> None:
    url = url_of(Message, "body", message.pk)
    assert url in client.get(message.get_absolute_url()).content.decode()
    Message.objects.update(purged_at=timezone.now())
    assert url not in client.get(message.get_absolute_url()).content.decode()
    assert "nothing left to read" in client.get(url).content.decode()


def test_who_read_cannot_be_rewritten_and_outlives_the_message(
    client: Client, message: Message
) -> None:
    open_body(client, message)
    with pytest.raises(ProgrammingError, match="Cannot update or delete"), transaction.atomic():
        BodyReading.objects.update(actor="")
    old = timezone.now() - timedelta(days=200)
    for at, is_gone, left in ((timezone.now(), True, 1), (old, False, 1), (old, True, 0)):
        with transaction.atomic():
            age(at, is_gone=is_gone)
            retention._forget_readings(timedelta(days=90))
            assert BodyReading.objects.count() == left, (at, is_gone)
            transaction.set_rollback(True)


def age(at, *, is_gone: bool) -> None:
    """One reading, of then, whose message is here or gone."""
    import pgtrigger

    with pgtrigger.ignore("gateway.BodyReading:append_only"):
        BodyReading.objects.update(at=at)
    if is_gone:
        Delivery.objects.all().delete()
        Message.objects.all().delete()
