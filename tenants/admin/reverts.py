"""Taking one edit back from a history: first a page that says what it comes to, then the change.

Whether it may be is tried beforehand by the very code that does it, and rolled back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from psycopg.errors import LockNotAvailable

from tenants import history, permissions, reverting
from tenants.admin.base import AT_ONCE, actor_of, reason_of, still_needed
from tenants.history import FieldChange, Source
from tenants.reverting import Net

NOT_NAMED = "This names no edit."
BUSY = "Somebody is editing the same tenant: load this page again in a moment."
TRIAL_WAITS = "1s"  # a look holds the tenant's lock as an edit does, for milliseconds
DONE = "Taken back. The history shows it as a change of yours."


@dataclass(frozen=True, slots=True)
class Step:
    """What taking an edit back does to one row."""

    subject: str
    verb: str
    fields: tuple[FieldChange, ...]


def revert_view(
    page: Any, request: HttpRequest, object_id: str, sources: Sequence[Source]
) -> HttpResponse:
    """The page about one edit of a history, and the change itself where it is sent."""
    if not page.has_change_permission(request):
        raise PermissionDenied
    net, refusal = _net(sources, request.GET.get("edit", ""))
    if not net and not refusal:
        raise Http404
    if not request.user.has_perms([_permission(each) for each in net]):
        raise PermissionDenied
    back = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_history", args=[object_id])
    is_sent = request.method == "POST"
    refusal = refusal or _tried(
        net, actor_of(request), reason=reason_of(request) or "taken back", is_trial=not is_sent
    )
    if is_sent and not refusal:
        messages.success(request, DONE)
        return redirect(back)
    context = {
        **page.admin_site.each_context(request),
        "title": "Take an edit back",
        "opts": page.opts,
        "steps": [_step(each) for each in net],
        "edit": history.edit_of(net[0].last) if net else None,
        "refusal": refusal,
        "back": back,
    }
    return TemplateResponse(request, "admin/panel/revert.html", context)


def _net(sources: Iterable[Source], key: str) -> tuple[list[Net], str]:
    """What the edit came to; or the sentence why that cannot be said."""
    try:
        return reverting.net_changes(sources, key), ""
    except ValidationError as error:
        return [], " ".join(error.messages)
    except ValueError:
        return [], NOT_NAMED


def _tried(net: Sequence[Net], actor: Any, *, reason: str = "", is_trial: bool = False) -> str:
    """Take it back, or only see whether that would do; the sentence why not, else nothing.

    Whoever only looks gives way where an edit of the same tenant takes long.
    """
    try:
        with transaction.atomic():
            if is_trial:
                _wait_for_locks_at_most(TRIAL_WAITS)
            reverting.revert(net, actor=actor, reason=reason)
            if is_trial:
                transaction.set_rollback(True)
    except ValidationError as error:
        return " ".join(dict.fromkeys(error.messages))
    except (ProtectedError, RestrictedError) as error:
        return still_needed(error)
    except IntegrityError:
        return AT_ONCE
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return BUSY
    return ""


def _wait_for_locks_at_most(time: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [time])


def _permission(net: Net) -> str:
    """What a user needs to do this to a row by hand."""
    return permissions.name_of(net.verb, permissions.page_model(net.model, net.last))


def _step(net: Net) -> Step:
    if net.before is None:
        return Step(net.subject, "is deleted", ())
    if net.after is None:
        return Step(net.subject, "comes back", ())
    return Step(net.subject, "is changed back", history.difference(net.after, net.before))
