"""Settings: each is listed once, and production refuses what only the try-out may do."""

import os
import re
import runpy
import subprocess

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from mailrouting.embedded import REPOSITORY
from mailrouting.environment import Env
from mailrouting.supervisor import python

PRODUCTION = {
    "DATABASE_URL": "postgresql://localhost/mail",
    "BROKER_URL": "amqp://localhost",
    "SECRET_KEY": "made-up-for-this-test-with-0123456789-and-more-characters",
    "EMBEDDED": "0",
    "STATIC_ROOT": "/srv/static",
}

# What the parts of the try-out are refused with.
TRY_OUT = ("mailrouting.E001", "mailrouting.E002")


def deployment_check(**settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        check=False,
        cwd=REPOSITORY,
        env=os.environ | PRODUCTION | settings,
        capture_output=True,
        text=True,
    )


def test_example_lists_every_setting_that_is_read() -> None:
    read = re.findall(
        r"env\.\w+\(\s*\"([A-Z_]+)\"", (REPOSITORY / "mailrouting/settings.py").read_text()
    )
    listed = re.findall(r"^# ([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted({*read, "DATA_DIR"})


def test_production_settings_pass_the_deployment_check() -> None:
    done = deployment_check()
    assert done.returncode == 0, done.stderr


def test_try_out_is_refused_in_production() -> None:
    done = deployment_check(EMBEDDED="1", BROKER_URL="filesystem://")
    assert done.returncode != 0
    assert "mailrouting.E001" in done.stderr
    assert "mailrouting.E002" in done.stderr


@pytest.mark.parametrize(
    ("embedded", "broker", "found"),
    [
        (True, "amqp://localhost", ["mailrouting.E001"]),
        (False, "filesystem://localhost", ["mailrouting.E002"]),
        (False, "amqp://localhost", []),
    ],
)
def test_each_part_of_the_try_out_is_refused(
    embedded: bool, broker: str, found: list[str], settings: Settings
) -> None:
    settings.EMBEDDED, settings.BROKER_URL = embedded, broker
    told = run_checks(include_deployment_checks=True)
    assert sorted(each.id for each in told if each.id in TRY_OUT) == found


@pytest.mark.parametrize(
    "url", ["mail", "mysql://localhost/mail", "postgresql://user:secret@localhost:port/mail"]
)
def test_database_address_of_a_wrong_form_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="must have the form") as refused:
        Env().db_url("DATABASE_URL_OF_THIS_TEST", default=url)
    assert "secret" not in str(refused.value)


def test_database_may_be_on_either_of_two_servers() -> None:
    url = "postgresql://mail:x@db1:5432,db2:5433/mail?target_session_attrs=read-write"

    parts = Env().db_url("DATABASE_URL_OF_THIS_TEST", default=url)

    assert (parts["HOST"], parts["PORT"], parts["NAME"]) == ("db1,db2", "5432,5433", "mail")
    assert parts["OPTIONS"] == {"target_session_attrs": "read-write"}


@pytest.mark.parametrize(
    ("setting", "typed"),
    [
        ("GATEWAY_PORT", "70000"),
        ("WEB_PORT", "http"),
        ("GATEWAY_MAX_RECIPIENTS", "99"),
        ("GATEWAY_MAX_MESSAGE_OCTETS", "65535"),
        ("GATEWAY_MAX_MESSAGE_OCTETS", "1000000001"),
        ("GATEWAY_DATA_BUDGET_OCTETS", "1114112"),
        ("GATEWAY_DISK_FOLDERS", "/nowhere"),
        ("GATEWAY_MAX_CONNECTIONS", "0"),
        ("GATEWAY_MAX_CONNECTIONS_PER_CLIENT", "-1"),
        ("GATEWAY_CLIENT_ERRORS", "many"),
        ("CALL_AHEAD_SECONDS", "0"),
        ("CONTENT_FILTER_URL", "rspamd:11333"),
        ("CONTENT_FILTER_URL", "http://rspamd:port"),
        ("CONTENT_FILTER_URL", "http://rspamd:11333/checkv2"),
        ("CONTENT_FILTER_PASSWORD", "schlüssel"),
        ("CONTENT_FILTER_SECONDS", "0"),
        ("CONTENT_FILTER_MAX_OCTETS", "all"),
        ("CONTENT_FILTER_FAILURE", "reject"),
        ("CALL_AHEAD_POSITIVE_SECONDS", "soon"),
        ("CALL_AHEAD_NEGATIVE_SECONDS", "0"),
        ("CALL_AHEAD_CONNECTIONS_PER_HOP", "-1"),
        ("GATEWAY_EXEMPT_NETWORKS", "10.0.0.1/8"),
        ("GATEWAY_BARE_LINE_ENDS", "ignore"),
        ("GATEWAY_SPOOL_DIR", "/nowhere"),
        ("GATEWAY_PROXY_NETWORKS", "balancer.example"),
        ("GATEWAY_REPEAT_SECONDS", "1h"),
        ("GATEWAY_DISK_RESERVE_OCTETS", "-1"),
        ("SWEEP_SECONDS", "0"),
        ("ALARM_SECONDS", "0"),
        ("PANEL_MAIL_URL", "mail.example"),
        ("ALARM_WEBHOOK_SECRET", "secret"),
        ("DELIVERY_LEASE_SECONDS", "749"),
        ("LOG_LEVEL", "LOUD"),
        ("BOUNCE_DOMAIN", "bounce_domain"),
        ("LOG_FORMAT", "xml"),
        ("METRICS_NETWORKS", "127.0.0.0/40"),
        ("DNS_RESOLVERS", "resolver.example"),
        ("SMARTHOST_URL", "relay.example:25"),
        ("POSTFIX_LOOKUPS_PORT", "-1"),
        ("POSTFIX_GATEWAY", "mx.example"),
        ("SHADOW_POSTFIX", "/etc/postfix"),
        ("DKIM_PUBLIC_KEYS", "selector-without-key"),
        ("DKIM_PUBLIC_KEYS", "s1:not a key"),
    ],
)
def test_broken_setting_is_one_sentence_that_names_it(
    setting: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, typed)
    with pytest.raises(ImproperlyConfigured) as refused:
        runpy.run_path(str(REPOSITORY / "mailrouting" / "settings.py"))
    [sentence] = str(refused.value).splitlines()
    assert setting in sentence


@pytest.mark.parametrize("setting", ["GATEWAY_HOSTNAME", "BOUNCE_DOMAIN", "AUTHSERV_ID"])
@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("MX.Provider.Example", "mx.provider.example"),
        ("mx.provider.example.", "mx.provider.example"),
        ("mx.Bücher.example", "mx.xn--bcher-kva.example"),
    ],
)
def test_domain_is_read_as_addresses_carry_it(
    setting: str,
    typed: str,
    read: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(setting, typed)
    assert runpy.run_path(str(REPOSITORY / "mailrouting" / "settings.py"))[setting] == read


def test_command_with_a_broken_setting_says_the_sentence_and_nothing_else() -> None:
    done = subprocess.run(
        python("manage.py", "gateway", "--help"),
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"GATEWAY_PORT": "70000"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    assert "GATEWAY_PORT" in sentence
