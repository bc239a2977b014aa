"""What recipients are told, as rows: one notice each for all that happened at one moment.

So a hundred domains that fail together are one mail. A webhook gets the same as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from gateway.watch.ledger import Turn
from gateway.watch.models import Alarm, AlarmRecipient, Notice
from gateway.watch.traffic import KEPT_HOURS

# What has become less is seen in the panel; nobody is woken for it.
TOLD = (Turn.OPENED, Turn.WORSENED, Turn.CLOSED)
LONGEST_LIST = 50
HEADINGS = {
    Turn.OPENED: "Opened",
    Turn.WORSENED: "Became worse",
    Turn.CLOSED: "Closed",
}


@dataclass(frozen=True, slots=True)
class News:
    """An alarm and the turn it took."""

    alarm: Alarm
    turn: Turn

    @property
    def severity(self) -> int:
        """Whom it concerns: of one that is over, all who were told when it was at its worst."""
        alarm = self.alarm
        if self.turn is not Turn.CLOSED:
            return alarm.severity
        return alarm.worst_told_severity or alarm.told_severity or alarm.severity


def queue(news: Sequence[News], *, now: datetime) -> list[Notice]:
    """Store a notice for each recipient who wants any of it."""
    told = [each for each in news if each.turn in TOLD]
    made = []
    for recipient in AlarmRecipient.objects.filter(enabled=True) if told else ():
        wanted = [each for each in told if recipient.wants(each.alarm.kind, each.severity)]
        if wanted:
            made.append(_notice(recipient, wanted, now))
    return Notice.objects.bulk_create(made)


def queue_test(recipient: AlarmRecipient, *, now: datetime) -> Notice:
    """Store a notice that says only that it arrived."""
    return Notice.objects.create(
        recipient=recipient,
        created_at=now,
        next_attempt_at=now,
        subject="Test of alarms",
        text=f"Alarms of {_installation()} reach “{recipient.name}”. Nothing is wrong.\n",
        payload={"type": "alarm.test", "timestamp": now.isoformat(), "data": {"alarms": []}},
    )


def prune(now: datetime) -> None:
    """Forget what was told long ago."""
    Notice.objects.filter(created_at__lt=now - KEPT_HOURS).delete()


def _notice(recipient: AlarmRecipient, news: Sequence[News], now: datetime) -> Notice:
    return Notice(
        recipient=recipient,
        created_at=now,
        next_attempt_at=now,
        subject=subject_of(news),
        text=text_of(news),
        payload={
            "type": "alarm.changed",
            "timestamp": now.isoformat(),
            "data": {"alarms": [_as_json(each) for each in news]},
        },
    )


def subject_of(news: Sequence[News]) -> str:
    """The one alarm, or how many there are of each turn."""
    if len(news) == 1:
        [one] = news
        return " ".join(f"{_label(one)}: {one.alarm.title}".split())[:500]
    counts = {turn: sum(each.turn is turn for each in news) for turn in TOLD}
    parts = [f"{count} {HEADINGS[turn].lower()}" for turn, count in counts.items() if count]
    return f"{len(news)} alarms: {', '.join(parts)}"


def text_of(news: Sequence[News]) -> str:
    """All of it as lines, by turn and the worst first; the panel has what is left out."""
    ordered = sorted(news, key=lambda each: (TOLD.index(each.turn), -each.alarm.severity))
    blocks = [_block(each) for each in ordered[:LONGEST_LIST]]
    if more := len(ordered) - len(blocks):
        blocks.append(f"And {more} more, in the panel.")
    return "\n\n".join([*blocks, _footer()]) + "\n"


def _block(news: News) -> str:
    lines = [f"{_label(news)}: {news.alarm.title}", news.alarm.evidence]
    if settings.PANEL_URL:
        lines.append(f"{settings.PANEL_URL.rstrip('/')}{news.alarm.get_absolute_url()}")
    return "\n".join(filter(None, lines))


def _label(news: News) -> str:
    if news.turn is Turn.CLOSED:
        return HEADINGS[Turn.CLOSED]
    return f"{news.alarm.get_severity_display().capitalize()} {HEADINGS[news.turn].lower()}"


def _footer() -> str:
    return f"-- \nAlarms of {_installation()}"


def _installation() -> str:
    return str(settings.GATEWAY_HOSTNAME)


def _as_json(news: News) -> dict[str, Any]:
    alarm = news.alarm
    return {
        "id": alarm.pk,
        "turn": news.turn.value,
        "kind": alarm.kind,
        "subject": alarm.subject,
        "severity": alarm.get_severity_display(),
        "title": alarm.title,
        "evidence": alarm.evidence,
        "opened_at": alarm.opened_at.isoformat(),
        "closed_at": alarm.closed_at.isoformat() if alarm.closed_at else None,
        "url": f"{settings.PANEL_URL.rstrip('/')}{alarm.get_absolute_url()}",
    }
