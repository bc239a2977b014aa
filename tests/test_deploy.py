"""What stands in deploy/ fits the product: fail2ban reads the real log lines, settings exist."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway import headroom
from mailrouting.logging import configure

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
# What fail2ban puts in place of <ADDR>, as far as these lines need it.
ADDRESS = "(?P<address>[0-9a-fA-F.:]+)"
FORGED = '"x client=198.51.100.9 reason=relay-denied "@demo.example'


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def expressions() -> list[re.Pattern[str]]:
    """The filter's expressions, put together as fail2ban does."""
    text = (DEPLOY / "fail2ban/filter.d/mailrouting.conf").read_text()
    parts = dict(re.findall(r"^(_\w+) = (.*)$", text, re.MULTILINE))
    lines = text.partition("failregex = ")[2].partition("ignoreregex")[0].splitlines()
    whole = [re.sub(r"%\((\w+)\)s", lambda name: parts[name[1]], line) for line in lines]
    return [re.compile(line.strip().replace("<ADDR>", ADDRESS)) for line in whole if line.strip()]


def banned(line: str) -> str | None:
    """The address that the filter reads out of a line; None where it matches nothing."""
    found = [match for expression in expressions() if (match := expression.search(line))]
    return found[0]["address"] if found else None


def decision(client: str, sender: str, recipient: str, reason: str) -> None:
    """Log as gateway/smtpd/conversation.py does, in its order."""
    about = {"client": client, "sender": sender, "recipient": recipient, "reason": reason}
    reply = {"reply": "550 5.1.1", "strategy": "unknown", "rule": "domain demo.example"}
    structlog.get_logger().info("decision", queue_id="1zrqfLZD976N6b1", **about, **reply)


@pytest.mark.parametrize(
    ("client", "sender", "recipient", "reason", "expected"),
    [
        ("192.0.2.7", "a@b.example", "nobody@demo.example", "unknown-address", "192.0.2.7"),
        ("2001:db8::7", "", "jo@elsewhere.example", "relay-denied", "2001:db8::7"),
        ("192.0.2.7", '"a b"@c.example', FORGED, "unknown-address", "192.0.2.7"),
        ("192.0.2.7", '"\\"@c.example', '"\\\\"@d.example', "policy", "192.0.2.7"),
        ("192.0.2.7", "a@b.example", "hello@demo.example", "accepted", None),
        ("192.0.2.7", "a@b.example", "busy@demo.example", "rate", None),
        ("192.0.2.7", FORGED, FORGED, "accepted", None),
    ],
)
@pytest.mark.parametrize("prefix", ["", " mx1 python[4711]: "])
def test_fail2ban_reads_decisions(
    client: str,
    sender: str,
    recipient: str,
    reason: str,
    expected: str | None,
    prefix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("gateway")

    decision(client, sender, recipient, reason)

    (line,) = capsys.readouterr().err.splitlines()
    assert banned(prefix + line) == expected
    dated = line.removeprefix(line.split(" ", 1)[0])  # fail2ban takes the time out of a file's line
    assert banned(dated) == expected


@pytest.mark.parametrize(
    ("event", "about", "expected"),
    [
        ("connection cut", {"reason": "errors", "errors": 20}, "192.0.2.7"),
        ("connection cut", {"reason": "not-smtp", "errors": 0}, "192.0.2.7"),
        ("connection cut", {"reason": "idle", "errors": 0}, None),
        ("connection refused", {"reason": "client-connections"}, "192.0.2.7"),
        ("connection refused", {"reason": "connections"}, None),
    ],
)
def test_fail2ban_reads_who_was_cut_or_turned_away(
    event: str,
    about: dict[str, object],
    expected: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Logged as gateway/smtpd/session.py and door.py do, in their order."""
    configure("gateway")

    structlog.get_logger().info(event, client="192.0.2.7", **about)

    assert banned(capsys.readouterr().err) == expected


@pytest.mark.parametrize("name", ["compose.yaml", "compose.env.example"])
def test_every_setting_of_the_containers_is_one(name: str) -> None:
    listed = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    others = {
        "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "RABBITMQ_DEFAULT_USER",
        "RABBITMQ_DEFAULT_PASS", "RABBITMQ_PASSWORD", "PANEL_HOST", "TLS_FOLDER",
    }  # fmt: skip
    named = re.findall(r"^ *(?:# )?([A-Z][A-Z_]+)[:=]", (DEPLOY / name).read_text(), re.MULTILINE)
    assert set(named) <= listed | others


@pytest.mark.parametrize("name", ["compose.yaml", "systemd/mailrouting-worker@.service"])
def test_workers_have_threads_for_all_that_may_take_long_and_one_for_mail(name: str) -> None:
    assert f"--concurrency {headroom.THREADS}" in (DEPLOY / name).read_text()
    long = headroom.DNS_CHECKS + headroom.JOBS + headroom.TELLERS + headroom.ALONE
    assert long < headroom.THREADS


def test_units_start_what_exists() -> None:
    units = list((DEPLOY / "systemd").glob("*.service"))
    assert len(units) == 5
    for unit in units:
        text = unit.read_text()
        (command,) = re.findall(r"^ExecStart=(\S+ (?:-A )?\S+)", text, re.MULTILINE)
        assert "manage.py" in command or "mailrouting" in command
        named = re.findall(r"^Environment=([A-Z_]+)=", text, re.MULTILINE)
        assert set(named) <= {
            "PYTHONUNBUFFERED", "GATEWAY_TLS_CERTIFICATE", "GATEWAY_TLS_KEY",
        }, unit.name  # fmt: skip
