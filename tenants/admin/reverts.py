"""Taking one edit back from a history: first a page that says what it comes to, then the change.

Whether it may be is foreseen by reading alone, so that a look waits for nobody and holds nobody up.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from tenants import history, permissions, reverting
from tenants.admin.base import AT_ONCE, actor_of, reason_of, still_needed
from tenants.history import FieldChange, Source
from tenants.reverting import Net

NOT_NAMED = "This names no edit."
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
    act = partial(_take_back, request) if is_sent else reverting.foresee
    refusal = refusal or _refusal(partial(act, net))
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


def _take_back(request: HttpRequest, net: Sequence[Net]) -> None:
    reason = reason_of(request) or "taken back"
    reverting.revert(net, actor=actor_of(request), reason=reason)


def _net(sources: Iterable[Source], key: str) -> tuple[list[Net], str]:
    """What the edit came to; or the sentence why that cannot be said."""
    try:
        return reverting.net_changes(sources, key), ""
    except ValidationError as error:
        return [], " ".join(error.messages)
    except ValueError:
        return [], NOT_NAMED


def _refusal(act: Callable[[], object]) -> str:
    """Do it, all or nothing; the sentence why not, else nothing."""
    try:
        with transaction.atomic():
            act()
    except ValidationError as error:
        return " ".join(dict.fromkeys(error.messages))
    except (ProtectedError, RestrictedError) as error:
        return still_needed(error)
    except IntegrityError:
        return AT_ONCE
    return ""


def _permission(net: Net) -> str:
    """What a user needs to do this to a row by hand."""
    return permissions.name_of(net.verb, permissions.page_model(net.model, net.last))


def _step(net: Net) -> Step:
    if net.before is None:
        return Step(net.subject, "is deleted", ())
    if net.after is None:
        return Step(net.subject, "comes back", ())
    return Step(net.subject, "is changed back", history.difference(net.after, net.before))
