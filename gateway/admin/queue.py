"""The queue by destination: what waits for each next hop, each figure a link to its list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from gateway.admin.deeds import HOLD, RELEASE, RETRY, Deed
from gateway.delivery import backlog
from gateway.delivery.actions import REACHED
from gateway.delivery.backlog import OPEN, Destination

VIEW, CHANGE = "gateway.view_delivery", "gateway.change_delivery"


@dataclass(frozen=True, slots=True)
class Figure:
    """How many deliveries of a destination are in a state, and the list of them."""

    count: int
    url: str
    is_capped: bool = False  # there are more


@dataclass(frozen=True, slots=True)
class Row:
    """A destination as the page shows it."""

    destination: Destination
    figures: Sequence[Figure]
    url: str
    deeds: Sequence[tuple[Deed, str]]


def queue_view(request: HttpRequest) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    counted = backlog.read(is_fresh="now" in request.GET)
    may_act = request.user.has_perm(CHANGE)
    context = {
        **admin.site.each_context(request),
        "title": "Queue",
        "subtitle": None,
        "rows": [_row(each, may_act=may_act) for each in counted.destinations],
        "states": OPEN,
        "is_capped": any(each.capped for each in counted.destinations),
        "counted_at": counted.at,
        "now": timezone.now(),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/queue.html", context)


def _row(destination: Destination, *, may_act: bool) -> Row:
    figures = [
        Figure(
            destination.counts.get(state, 0),
            _list(lane=destination.lane, state__exact=state),
            is_capped=state in destination.capped,
        )
        for state in OPEN
    ]
    wanted = (RETRY, HOLD, RELEASE) if may_act else ()
    deeds = [(deed, _ask(deed, destination)) for deed in wanted if _is_of_use(deed, destination)]
    return Row(destination, figures, _list(lane=destination.lane), deeds)


def _is_of_use(deed: Deed, destination: Destination) -> bool:
    """Whether anything that waits is in a state that the deed reaches."""
    return any(destination.counts.get(state) for state in REACHED[deed.action])


def _ask(deed: Deed, destination: Destination) -> str:
    query = urlencode({"lane": destination.lane, "list": "queue"})
    return f"{reverse('admin:gateway_delivery_intervene', args=[deed.name])}?{query}"


def _list(**query: Any) -> str:
    return f"{reverse('admin:gateway_delivery_changelist')}?{urlencode(query)}"
