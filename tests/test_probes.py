"""Liveness, readiness and metrics, over real sockets and through the web's views."""

import http.client
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import connection
from django.test import Client

from mailrouting import probes


@pytest.fixture
def missing() -> list[str]:
    return []


@pytest.fixture
def port(missing: list[str]) -> Iterator[int]:
    with probes.serve(0, lambda: missing, host="127.0.0.1") as server:
        yield int(server.server_address[1])
        server.shutdown()


def get(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read().decode()


def test_listener_is_ready_when_nothing_is_missing(port: int) -> None:
    assert get(port, "/readyz") == (200, "ready\n")


def test_listener_names_what_is_missing_but_lives(port: int, missing: list[str]) -> None:
    missing += ["the moon", "the tide"]
    assert get(port, "/readyz?verbose") == (503, "the moon\nthe tide\n")
    assert get(port, "/livez") == (200, "alive\n")


@pytest.mark.django_db(transaction=True)
def test_listener_shows_metrics_and_nothing_else(port: int) -> None:
    status, text = get(port, "/metrics")
    assert status == 200
    assert "python_info" in text
    assert get(port, "/")[0] == 404


def test_silent_client_does_not_block_another(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as silent:
        silent.connect()
        assert get(port, "/livez")[0] == 200


@pytest.mark.django_db
def test_web_is_ready_with_a_migrated_database(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ready\n")


@pytest.mark.django_db(transaction=True)
def test_web_without_database_is_alive_but_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nonexistent")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"the database does not answer\n")
    assert client.get("/livez").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("203.0.113.5", {}, 404),
        ("", {}, 404),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.5"}, 404),
    ],
)
def test_web_metrics_are_for_direct_clients_of_the_network(
    client: Client, address: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get("/metrics", REMOTE_ADDR=address, headers=headers)
    assert answer.status_code == status
