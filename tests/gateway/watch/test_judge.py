"""Facts to findings, by tables: each threshold from both sides, while open and while not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.watch.facts import (
    DomainTrouble,
    Facts,
    Finding,
    Flood,
    Kind,
    LaneTrouble,
    Pulse,
    Severity,
    Usage,
)
from gateway.watch.judge import DEFERRED_LEAST, QUOTA_LEAST, Ladder, judge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
ALIVE = (Pulse("worker a:1", "worker", NOW), Pulse("beat a:2", "beat", NOW))


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def found(
    *, standing: dict[tuple[str, str], Severity] | None = None, **facts: Any
) -> list[Finding]:
    return judge(Facts(now=NOW, **({"pulses": ALIVE} | facts)), standing or {})


def severities(
    *, standing: dict[tuple[str, str], Severity] | None = None, **facts: Any
) -> list[Severity]:
    return [finding.severity for finding in found(standing=standing, **facts)]


@pytest.mark.parametrize(
    ("value", "standing", "severity"),
    [
        (79, None, None),
        (80, None, WARNING),
        (99, None, WARNING),
        (100, None, CRITICAL),
        # What is open stays so a little longer.
        (75, WARNING, None),
        (76, WARNING, WARNING),
        (94, CRITICAL, CRITICAL),
        (93, CRITICAL, WARNING),
        (94, WARNING, WARNING),
    ],
)
def test_ladder_holds_what_is_open_a_little_below_its_rung(
    value: float, standing: Severity | None, severity: Severity | None
) -> None:
    assert Ladder(80, 100, ease=0.94).read(value, standing) == severity


def test_nothing_in_trouble_is_nothing_found() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("is_degraded", "severity", "said"),
    [(True, CRITICAL, "is degraded"), (False, WARNING, "fails its DNS check")],
)
def test_domain_in_trouble_is_told_with_what_fails(
    is_degraded: bool, severity: Severity, said: str
) -> None:
    trouble = DomainTrouble(7, "a.example", 1, is_degraded, ("MX",), ago(hours=80))
    [finding] = found(domains=[trouble])
    assert (finding.kind, finding.subject, finding.severity) == (
        Kind.DOMAIN,
        "domain:7",
        severity,
    )
    assert said in finding.title
    assert "MX" in finding.evidence
    assert finding.tenant_id == 1


def lane(**fields: Any) -> LaneTrouble:
    return LaneTrouble("mailbox:3", "Store 1", 3, None, **fields)


def test_failing_target_leads_to_what_waits_for_it() -> None:
    [finding] = found(lanes=[lane(out_since=ago(hours=1))])
    assert finding.place == ("gateway_delivery_changelist", "waiting=yes&lane=mailbox:3")


@pytest.mark.parametrize(
    ("trouble", "severity"),
    [
        (lane(out_since=ago(minutes=4)), None),
        (lane(out_since=ago(minutes=5)), WARNING),
        (lane(out_since=ago(hours=1)), CRITICAL),
        (lane(deferred=DEFERRED_LEAST - 1, oldest_deferred_at=ago(hours=9)), None),
        (lane(deferred=DEFERRED_LEAST, oldest_deferred_at=ago(minutes=29)), None),
        (lane(deferred=DEFERRED_LEAST, oldest_deferred_at=ago(minutes=30)), WARNING),
        (lane(deferred=DEFERRED_LEAST, oldest_deferred_at=ago(hours=4)), CRITICAL),
        (
            lane(
                out_since=ago(minutes=6), deferred=DEFERRED_LEAST, oldest_deferred_at=ago(hours=4)
            ),
            CRITICAL,
        ),
    ],
)
def test_target_fails_when_it_is_out_or_puts_many_off(
    trouble: LaneTrouble, severity: Severity | None
) -> None:
    assert severities(lanes=[trouble]) == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("used", "limit", "severity"),
    [
        (79, 100, None),
        (80, 100, WARNING),
        (100, 100, CRITICAL),
        (140, 100, CRITICAL),
        (QUOTA_LEAST - 2, QUOTA_LEAST - 1, None),
        (QUOTA_LEAST - 1, QUOTA_LEAST - 1, WARNING),
        (1, 1, WARNING),
        (QUOTA_LEAST, QUOTA_LEAST, CRITICAL),
    ],
)
def test_quota_is_told_at_80_and_100_percent(
    used: int, limit: int, severity: Severity | None
) -> None:
    usage = Usage(1, "A", "addresses", used, limit)
    assert severities(usages=[usage]) == ([severity] if severity else [])


def test_quota_that_hovers_stays_open() -> None:
    usage = Usage(1, "A", "addresses", 78, 100)
    standing = {("quota", "tenant:1:addresses"): WARNING}
    assert severities(usages=[usage], standing=standing) == [WARNING]
    assert severities(usages=[usage]) == []


@pytest.mark.parametrize(
    ("flood", "severity"),
    [
        (Flood("a.example", 499), None),
        (Flood("a.example", 500), WARNING),
        (Flood("", 5000), CRITICAL),
        (Flood("192.0.2.1", 149, is_client=True), None),
        (Flood("192.0.2.1", 150, is_client=True), WARNING),
        (Flood("192.0.2.1", 1000, is_client=True), CRITICAL),
    ],
)
def test_flood_of_refusals_is_an_attack(flood: Flood, severity: Severity | None) -> None:
    assert severities(floods=[flood]) == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("pulses", "subjects"),
    [
        (ALIVE, []),
        (ALIVE[:1], [("role:beat", CRITICAL)]),
        ((), [("role:beat", CRITICAL), ("role:worker", CRITICAL)]),
        ((*ALIVE, Pulse("gateway a:3", "gateway", ago(minutes=3))), []),
        (
            (*ALIVE, Pulse("gateway a:3", "gateway", ago(minutes=4))),
            [("role:gateway", CRITICAL)],
        ),
        (
            (*ALIVE, Pulse("worker b:1", "worker", ago(minutes=4))),
            [("process:worker b:1", WARNING)],
        ),
    ],
)
def test_process_that_is_silent_is_told_and_the_last_of_its_kind_is_critical(
    pulses: tuple[Pulse, ...], subjects: list[tuple[str, Severity]]
) -> None:
    told = [(finding.subject, finding.severity) for finding in found(pulses=pulses)]
    assert told == subjects


@pytest.mark.parametrize(
    ("free", "severity"), [(201, None), (200, WARNING), (100, CRITICAL), (0, CRITICAL)]
)
def test_disk_is_told_before_mail_is_refused(free: int, severity: Severity | None) -> None:
    pulse = Pulse("gateway a:3", "gateway", NOW, free, 100)
    assert severities(pulses=(*ALIVE, pulse)) == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("waited", "severity"), [(14, None), (15, WARNING), (59, WARNING), (60, CRITICAL)]
)
def test_mail_that_waits_for_a_worker_is_told(waited: int, severity: Severity | None) -> None:
    told = severities(ready=1, oldest_ready_at=ago(minutes=waited))
    assert told == ([severity] if severity else [])
