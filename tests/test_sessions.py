"""What stands in the database of a session lets nobody into it."""

from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from mailrouting.sessions import SessionStore
from tests.staff import client_of, make_staff


def test_a_session_s_key_is_in_no_row_and_its_row_s_key_opens_none(db: None) -> None:
    client = client_of(make_staff())
    [row] = Session.objects.all()
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert (client.get("/admin/").status_code, row.session_key == key) == (200, False)
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = row.session_key
    assert thief.get("/admin/")["Location"].startswith("/admin/login/")


def test_a_session_is_kept_renewed_and_ended(db: None) -> None:
    store = SessionStore()
    store["seen"] = 1
    store.save()
    first = str(store.session_key)
    assert SessionStore(first)["seen"] == 1
    store.cycle_key()
    assert (store["seen"], store.exists(first)) == (1, False)
    assert store.exists(str(store.session_key))
    store.flush()
    assert not Session.objects.exists()


def test_a_session_that_is_over_is_as_none(db: None) -> None:
    store = SessionStore()
    store.set_expiry(-1)
    store["seen"] = 1
    store.save()
    assert "seen" not in SessionStore(store.session_key)
