"""Sends notices, by mail or webhook: claimed before the work, tried again later, given up at last.

A row's id is the Message-ID and the webhook-id, so that a repeat after a crash is known as one.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from gateway.watch import mailing
from gateway.watch.models import AlarmRecipient, Notice
from gateway.watch.outcome import Undelivered
from gateway.watch.places import UNOPENED
from gateway.watch.webhook import Posting, post
from tenants import changes, forewarning
from tenants.changes import Actor

FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=1)
# Longer than one try takes: whoever has claimed a notice and was killed leaves it until then.
LEASE = timedelta(minutes=2)
ITSELF = Actor.system("watch", surface="task")

log = structlog.get_logger()


def send_due(clock: Callable[[], datetime]) -> int:
    """Send what is due, one after the other; how many got through."""
    sent = 0
    while (notice := claim(clock())) is not None:
        sent += send(notice, now=clock())
    return sent


def claim(now: datetime, *, only: UUID | None = None) -> Notice | None:
    """The notice that is due longest, or this one; no one else takes it while the lease lasts."""
    with transaction.atomic():
        due = Notice.objects.filter(state=Notice.State.WAITING, next_attempt_at__lte=now)
        due = due.filter(pk=only) if only else due
        rows = due.order_by("next_attempt_at").select_related("recipient", "forewarning")
        notice = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if notice is not None:
            notice.attempts += 1
            notice.next_attempt_at = now + LEASE
            notice.save(update_fields=["attempts", "next_attempt_at"])
    return notice


def send(notice: Notice, *, now: datetime) -> bool:
    """Send one claimed notice and note what came of it."""
    try:
        notice.reply = _deliver(notice, now)[:1000]
        notice.state, notice.sent_at = Notice.State.SENT, now
    except Undelivered as refused:
        notice.reply = str(refused)[:1000]
        wait = min(max(retry_after(notice.attempts), refused.wait), LONGEST_RETRY)
        notice.next_attempt_at = now + wait
        if refused.is_gone or now - notice.created_at >= GIVEN_UP_AFTER:
            notice.state = Notice.State.FAILED
        if refused.is_gone and notice.recipient is not None:
            _switch_off(notice.recipient)
        log.warning("notice not sent", recipient=notice.addressee, reply=notice.reply)
    notice.save(update_fields=["state", "sent_at", "reply", "next_attempt_at"])
    if notice.state == Notice.State.SENT and notice.forewarning is not None:
        forewarning.note_told(notice.forewarning, now=now, actor=ITSELF)
    return notice.state == Notice.State.SENT


def retry_after(attempts: int) -> timedelta:
    """One minute, doubled by each further try, at most an hour."""
    doublings = min(attempts - 1, 10)
    return min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY)


def _switch_off(recipient: AlarmRecipient) -> None:
    """Tell it nothing any more, until somebody switches it on again."""
    rows = AlarmRecipient.objects.filter(pk=recipient.pk)
    reason = "switched off: its webhook answered 410 Gone"
    changes.update(rows, actor=ITSELF, reason=reason, enabled=False)


def _deliver(notice: Notice, now: datetime) -> str:
    """What the other side said. Raises Undelivered."""
    if notice.recipient is None:
        return mailing.mail(str(notice.id), notice.mailbox, notice.subject, notice.text)
    if not notice.recipient.enabled:
        raise Undelivered("the recipient is switched off")
    if notice.recipient.address == UNOPENED:
        raise Undelivered(f"its address cannot be read {UNOPENED}")
    if notice.recipient.channel == AlarmRecipient.Channel.MAIL:
        return mailing.mail(str(notice.id), notice.recipient.address, notice.subject, notice.text)
    body = json.dumps(notice.payload, separators=(",", ":")).encode()
    posting = Posting(
        notice.recipient.address,
        str(notice.id),
        body,
        tuple(settings.ALARM_WEBHOOK_SECRET),
        settings.ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES,
    )
    return post(posting, now=now)
