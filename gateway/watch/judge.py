"""Facts in, findings out: every threshold of an alarm stands here.

Pure: no clock, no database. Each measure has a ladder: from one rung on it is a warning, from the
next on critical. An alarm that is open stays on its rung until the measure is clearly below it, so
that a figure that hovers does not make it flap.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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
from tenants.octets import print_octets

Standing = Mapping[tuple[str, str], Severity]
"""The severities of the alarms that are open, by kind and subject."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """A measure's rungs; what is open stays so until the measure is under `ease` of its rung."""

    warning: float
    critical: float
    ease: float = 1.0

    def read(self, value: float, standing: Severity | None = None) -> Severity | None:
        """The rung that the value is on; None below the first."""
        for severity, rung in (
            (Severity.CRITICAL, self.critical),
            (Severity.WARNING, self.warning),
        ):
            is_held = standing is not None and standing >= severity
            if value >= (rung * self.ease if is_held else rung):
                return severity
        return None


OUTAGE_SECONDS = Ladder(300, 3600)
DEFERRED_SECONDS = Ladder(1800, 4 * 3600)
DEFERRED_LEAST = 10  # deliveries that one hop puts off before that is more than one mailbox
QUOTA_PERCENT = Ladder(80, 100, ease=0.94)
QUOTA_LEAST = 5  # a limit of one domain is meant to be used up, which wakes nobody
DOMAIN_FLOOD = Ladder(500, 5000, ease=0.5)
# Of a client only recorded refusals count: at most 60 a minute for each domain, reason and gateway.
CLIENT_FLOOD = Ladder(150, 1000, ease=0.5)
FLOOD_MINUTES = 5
SILENT_AFTER = timedelta(minutes=3)
DISK_PERCENT = Ladder(50, 100, ease=0.9)  # the reserve in percent of what is free
QUEUE_SECONDS = Ladder(900, 3600, ease=0.5)
EXPECTED_ROLES = ("beat", "worker")


def judge(facts: Facts, standing: Standing) -> list[Finding]:
    """What is in trouble, each subject once."""
    return [
        *(_domain(trouble) for trouble in facts.domains),
        *_lanes(facts, standing),
        *_quotas(facts.usages, standing),
        *_floods(facts.floods, standing),
        *_processes(facts.pulses, facts.now),
        *_disks(facts.pulses, standing),
        *_queue(facts, standing),
    ]


def _domain(trouble: DomainTrouble) -> Finding:
    severity = Severity.CRITICAL if trouble.is_degraded else Severity.WARNING
    what = "is degraded" if trouble.is_degraded else "fails its DNS check"
    failing = ", ".join(trouble.failing) or "none of its records"
    return Finding(
        Kind.DOMAIN,
        f"domain:{trouble.id}",
        severity,
        f"{trouble.name} {what}",
        f"Failing: {failing}; since {_moment(trouble.since)}. It still receives.",
        trouble.tenant_id,
        ("tenants_domain_change", str(trouble.id)),
    )


def _lanes(facts: Facts, standing: Standing) -> Iterator[Finding]:
    for trouble in facts.lanes:
        subject = f"lane:{trouble.lane}"
        held = standing.get((Kind.TARGET, subject))
        severity = max(
            _outage(trouble, facts.now, held) or 0, _putting_off(trouble, facts.now, held) or 0
        )
        if severity:
            yield Finding(
                Kind.TARGET,
                subject,
                Severity(severity),
                f"{trouble.name} does not take mail",
                _lane_evidence(trouble),
                trouble.tenant_id,
                ("gateway_delivery_changelist", f"waiting=yes&lane={trouble.lane}"),
            )


def _outage(trouble: LaneTrouble, now: datetime, held: Severity | None) -> Severity | None:
    if trouble.out_since is None:
        return None
    return OUTAGE_SECONDS.read((now - trouble.out_since).total_seconds(), held)


def _putting_off(trouble: LaneTrouble, now: datetime, held: Severity | None) -> Severity | None:
    least = DEFERRED_LEAST / 2 if held else DEFERRED_LEAST
    if trouble.oldest_deferred_at is None or trouble.deferred < least:
        return None
    return DEFERRED_SECONDS.read((now - trouble.oldest_deferred_at).total_seconds(), held)


def _lane_evidence(trouble: LaneTrouble) -> str:
    told = []
    if trouble.out_since is not None:
        told.append(f"It cannot be reached since {_moment(trouble.out_since)}.")
    if trouble.oldest_deferred_at is not None:
        told.append(
            f"{_count(trouble.deferred, 'delivery is', 'deliveries are')} put off, the oldest "
            f"since {_moment(trouble.oldest_deferred_at)}."
        )
    if trouble.reply:
        told.append(f"It said: {trouble.reply[:300]}")
    return " ".join(told)


def _quotas(usages: Sequence[Usage], standing: Standing) -> Iterator[Finding]:
    for usage in usages:
        subject = f"tenant:{usage.tenant_id}:{usage.what}"
        percent = usage.used * 100 / max(usage.limit, 1)
        severity = QUOTA_PERCENT.read(percent, standing.get((Kind.QUOTA, subject)))
        if severity is None:
            continue
        yield Finding(
            Kind.QUOTA,
            subject,
            severity if usage.limit >= QUOTA_LEAST else Severity.WARNING,
            f"{usage.tenant} uses {percent:.0f} % of its {usage.what}",
            f"{_amount(usage, usage.used)} of {_amount(usage, usage.limit)}.",
            usage.tenant_id,
            ("tenants_tenant_change", str(usage.tenant_id)),
        )


def _amount(usage: Usage, number: int) -> str:
    return print_octets(number) if usage.what == "stored octets" else f"{number:,}"


def _floods(floods: Sequence[Flood], standing: Standing) -> Iterator[Finding]:
    for flood in floods:
        subject = f"{'client' if flood.is_client else 'domain'}:{flood.name}"
        ladder = CLIENT_FLOOD if flood.is_client else DOMAIN_FLOOD
        severity = ladder.read(flood.count, standing.get((Kind.ATTACK, subject)))
        if severity is not None:
            yield _flood(flood, subject, severity)


def _flood(flood: Flood, subject: str, severity: Severity) -> Finding:
    recorded = "recorded refusals" if flood.is_client else "refusals"
    evidence = f"{flood.count:,} {recorded} within {FLOOD_MINUTES} minutes."
    if flood.is_client:
        title, asked = f"Many refusals of the client {flood.name}", f"client__exact={flood.name}"
        place = ("gateway_routingrecord_changelist", f"accepted__exact=0&within=hour&{asked}")
    else:
        title = f"Many refusals on {flood.name or 'domains not served here'}"
        asked = f"q={flood.name}" if flood.name else "served=no"
        place = ("gateway_refusalcount_changelist", f"within=hour&{asked}")
    return Finding(Kind.ATTACK, subject, severity, title, evidence, flood.tenant_id, place)


def _processes(pulses: Sequence[Pulse], now: datetime) -> Iterator[Finding]:
    """A role that nobody fills is critical; one process of several is a warning."""
    roles = sorted({*EXPECTED_ROLES, *(pulse.role for pulse in pulses)})
    for role in roles:
        of_role = [pulse for pulse in pulses if pulse.role == role]
        silent = [pulse for pulse in of_role if now - pulse.at > SILENT_AFTER]
        if len(silent) == len(of_role):
            yield _absent(role, of_role)
        else:
            yield from map(_silent, silent)


def _absent(role: str, pulses: Sequence[Pulse]) -> Finding:
    last = max((pulse.at for pulse in pulses), default=None)
    evidence = f"Last seen {_moment(last)}." if last else "None has been seen since it was stopped."
    return Finding(
        Kind.PROCESS, f"role:{role}", Severity.CRITICAL, f"No {role} is running", evidence
    )


def _silent(pulse: Pulse) -> Finding:
    evidence = f"Last seen {_moment(pulse.at)}. Others of its kind are running."
    title = f"{pulse.process} is silent"
    return Finding(Kind.PROCESS, f"process:{pulse.process}", Severity.WARNING, title, evidence)


def _disks(pulses: Sequence[Pulse], standing: Standing) -> Iterator[Finding]:
    for pulse in pulses:
        free, reserve = pulse.disk_free_octets, pulse.disk_reserve_octets
        if free is None or not reserve:
            continue
        subject = f"process:{pulse.process}"
        percent = reserve * 100 / max(free, 1)
        severity = DISK_PERCENT.read(percent, standing.get((Kind.DISK, subject)))
        if severity is not None:
            is_refusing = "; no mail is begun (452)" if free < reserve else ""
            yield Finding(
                Kind.DISK,
                subject,
                severity,
                f"The disk of {pulse.process} is nearly full",
                f"{print_octets(free)} free, the reserve is {print_octets(reserve)}{is_refusing}.",
            )


def _queue(facts: Facts, standing: Standing) -> Iterator[Finding]:
    if facts.oldest_ready_at is None:
        return
    waited = (facts.now - facts.oldest_ready_at).total_seconds()
    severity = QUEUE_SECONDS.read(waited, standing.get((Kind.QUEUE, "queue")))
    if severity is not None:
        yield Finding(
            Kind.QUEUE,
            "queue",
            severity,
            f"Mail has been waiting for a worker for {_span(waited)}",
            f"{_count(facts.ready, 'delivery is', 'deliveries are')} due, the first since "
            f"{_moment(facts.oldest_ready_at)}.",
            place=("gateway_delivery_changelist", "state__exact=pending"),
        )


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "never"


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {many}"
