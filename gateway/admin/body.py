"""What stands in a message: asked for with a reason, logged, shown as text, never rendered.

The text is the answer to the reason and has no address of its own, so that each view is a row: to
see it again is to ask again. For a download a reading is good for its reader alone, and for a
quarter of an hour.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from gateway import bodies, reading
from gateway.models import BodyReading, Message
from gateway.pieces import octets_of
from tenants.admin.base import ReadOnlyAdmin, actor_of, reason_of

READ, DOWNLOAD = "gateway.read_body", "gateway.download_body"
GOOD_FOR = timedelta(minutes=15)
NO_REASON = "Say why: it stands beside your name on the message's page."
SHOWN_READINGS = 50


class BodyMixin(ReadOnlyAdmin):
    """The pages of a message's body, below the message's own."""

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("<uuid:pk>/body/", self.ask_for_body, "body"),
            ("<uuid:pk>/body/<int:number>/raw/", self.download_body, "body_raw"),
        )
        own = [
            path(route, self.admin_site.admin_view(view), name=f"gateway_message_{name}")
            for route, view, name in pages
        ]
        return own + super().get_urls()

    def ask_for_body(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Ask for a reason; with one, log it and show the text."""
        message = self._readable(request, pk)
        if request.method == "POST" and (reason := reason_of(request)):
            kind = BodyReading.Kind.READ
            row = bodies.note_reading(message, kind, actor=actor_of(request), reason=reason)
            return self._show(request, message, row)
        error = NO_REASON if request.method == "POST" else ""
        return self._page(request, message, "body_question", {"reason_error": error})

    def _show(self, request: HttpRequest, message: Message, row: BodyReading) -> HttpResponse:
        octets = octets_of(message, most=bodies.READ_OCTETS)
        context = {
            "reading": row,
            "readable": None if octets is None else reading.read(octets),
            "is_cut": message.size_octets > bodies.READ_OCTETS,
            "may_download": request.user.has_perm(DOWNLOAD),
        }
        return self._page(request, message, "body", context)

    def download_body(self, request: HttpRequest, pk: Any, number: int) -> HttpResponse:
        """The octets as a file, logged by themselves, for the reason of the reading."""
        message = self._readable(request, pk)
        row = _own_reading(request, message, number)
        if row is None or request.method != "POST":
            return redirect("admin:gateway_message_body", message.pk)
        if not request.user.has_perm(DOWNLOAD):
            raise PermissionDenied
        octets = bodies.download(message, actor=actor_of(request), reason=row.reason)
        if octets is None:
            return redirect("admin:gateway_message_body", message.pk)
        return _as_file(message, octets)

    def _readable(self, request: HttpRequest, pk: Any) -> Message:
        """The message, where this user may see it and read it."""
        message: Message | None = self.get_object(request, str(pk))
        if message is None:
            raise Http404
        if not (self.has_view_permission(request, message) and request.user.has_perm(READ)):
            raise PermissionDenied
        return message

    def _page(
        self, request: HttpRequest, message: Message, name: str, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "title": f"What stands in {message.queue_id}",
            "opts": self.opts,
            "message": message,
            "readings": readings_of(message),
        }
        return TemplateResponse(request, f"admin/panel/{name}.html", {**shared, **context})


def readings_of(message: Message) -> list[BodyReading]:
    """Who looked at it, the latest first."""
    return list(BodyReading.objects.filter(message=message).order_by("-pk")[:SHOWN_READINGS])


def _own_reading(request: HttpRequest, message: Message, number: int) -> BodyReading | None:
    since = timezone.now() - GOOD_FOR
    mine = BodyReading.objects.filter(pk=number, message=message, user=request.user.pk)
    return mine.filter(at__gte=since, kind=BodyReading.Kind.READ).first()


def _as_file(message: Message, octets: bytes) -> HttpResponse:
    """A file that no browser opens by itself, by whatever it would guess from the octets."""
    name = quote(f"{message.queue_id}.eml")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(octets, content_type="message/rfc822", headers=headers)
