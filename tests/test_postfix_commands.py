"""`manage.py postfix_lookups` as a process: it starts, is ready, answers, and stops when told."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings

from mailrouting.embedded import REPOSITORY
from mailrouting.management.commands.up import configured_addresses, services
from mailrouting.supervisor import Listener, Service, ask, choose_free, python
from tests.gateway.asking import Asking, Mailing
from tests.gateway.worker import database_url
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("socket_enabled")


@contextmanager
def process(*words: str, **settings_of_it: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        python("manage.py", "postfix_lookups", *words),
        cwd=REPOSITORY,
        env=os.environ | {"POSTFIX_LOOKUPS_PORT": "0"} | settings_of_it,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def test_process_answers_until_it_is_told_to_stop(
    django_db_setup: None, django_db_blocker: object
) -> None:
    port, probe = choose_free(["127.0.0.1"] * 2)
    told = {"POSTFIX_LOOKUPS_PORT": str(port), "POSTFIX_LOOKUPS_PROBE_PORT": str(probe)}
    listener = Listener("POSTFIX_LOOKUPS_PROBE_PORT", "127.0.0.1", probe)
    service = Service("postfix-lookups", (), listener)
    with process(**told, DATABASE_URL=database_url(), EMBEDDED="1") as running:
        wait_until(lambda: ask(service) is None, seconds=60)
        with Asking(port) as asking:
            assert asking.look_up("domains", "x.example") == "NOTFOUND "
            assert Mailing(asking).rcpt("jo@x.example") == "550 5.7.1 Relaying denied"
            running.send_signal(signal.SIGTERM)
            assert asking.read_all() == b""
        said, _ = running.communicate(timeout=20)
    assert running.returncode == 0, said
    [decision] = [line for line in said.splitlines() if "event=decision" in line]
    assert "process=postfix-lookups" in decision
    assert "reason=relay-denied" in decision
    assert "recipient=jo@x.example" in decision


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "set POSTFIX_LOOKUPS_PORT or POSTFIX_LOOKUPS_SOCKET"),
        (["--socket", "/no/such/folder/lookups"], "Cannot listen on /no/such/folder/lookups"),
        (["--host", "192.0.2.1", "--port", "10030"], "Cannot listen on 192.0.2.1:10030"),
    ],
)
def test_what_cannot_be_served_is_said(words: list[str], sentence: str) -> None:
    (probe,) = choose_free(["127.0.0.1"])
    with process(*words, "--probe-port", str(probe)) as running:
        said, _ = running.communicate(timeout=60)
        assert running.returncode == 1
        assert sentence in said


@pytest.mark.parametrize("port", [0, 10030])
def test_up_starts_it_where_a_port_is_set(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "POSTFIX_LOOKUPS_PORT", port)

    addresses = configured_addresses()

    names = [service.name for service in services(addresses)]
    assert ("postfix-lookups" in names) == bool(port)
    assert ("POSTFIX_LOOKUPS_PORT" in [each.setting for each in addresses.all()]) == bool(port)
