"""A domain's owners are mailed before it is degraded: each forewarning becomes their notices.

Once for each time that a record goes missing. What could be sent to none of them for a day is
queued again, since the domain waits for it.
"""

from datetime import datetime

from django.conf import settings

from gateway.watch.models import Notice
from tenants.forewarning import owners_to_tell
from tenants.models import Domain, Forewarning

TEXT = """\
The {kind} record of {domain} has not been found as it should be since {since}.

Expected:
{expected}

Found:
{found}

Please publish it by {by}. After that {domain} is marked as degraded until it is found again: its \
mail is taken as before, but senders may not find the way here any more. The record is looked for \
every hour; nothing else has to be done.

{dashes}
{domain} at {installation}
"""
SIGNATURE = "-- "  # RFC 3676 §4.3
MOMENT = "%Y-%m-%d %H:%M UTC"


def queue(now: datetime) -> list[Notice]:
    """Store a notice for each owner of the domains whose owners were not told yet."""
    waiting = Notice.objects.filter(state=Notice.State.WAITING).values("forewarning")
    untold = Forewarning.objects.untold().exclude(pk__in=waiting.exclude(forewarning=None))
    made = []
    for each in untold.select_related("domain__tenant"):
        made += [_notice(each, mailbox, now) for mailbox in owners_to_tell(each.domain.tenant)]
    return Notice.objects.bulk_create(made)


def _notice(warning: Forewarning, mailbox: str, now: datetime) -> Notice:
    return Notice(
        forewarning=warning,
        mailbox=mailbox,
        created_at=now,
        next_attempt_at=now,
        subject=subject_of(warning),
        text=text_of(warning),
        payload={},
    )


def subject_of(warning: Forewarning) -> str:
    domain, by = warning.domain, warning.degrades_at
    return f"{domain}: publish the {warning.get_kind_display()} record by {by:%Y-%m-%d}"


def text_of(warning: Forewarning) -> str:
    """Which record, what is expected, what stands there, and by when it has to be mended."""
    domain: Domain = warning.domain
    return TEXT.format(
        kind=warning.get_kind_display(),
        domain=domain,
        since=warning.missing_since.strftime(MOMENT),
        expected=_indented(warning.expected),
        found=_indented(warning.found or "nothing"),
        by=warning.degrades_at.strftime(MOMENT),
        dashes=SIGNATURE,
        installation=settings.GATEWAY_HOSTNAME,
    )


def _indented(lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines.splitlines())
