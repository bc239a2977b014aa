"""The page behind the one search box: a text in by GET, so that every answer is a link."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from gateway import search
from gateway.admin.shown import explain_url, reply_colour
from gateway.search.address import AddressAnswer, Standing

COLOURS = {
    Standing.IN_USE: "success",
    Standing.ANSWERED: "success",
    Standing.RETURN_PATH: "info",
    Standing.EXPIRED: "warning",
    Standing.RENAMED: "warning",
    Standing.DISABLED: "warning",
    Standing.DELETED: "danger",
    Standing.FOREIGN: "danger",
    Standing.NEVER: "danger",
}


def search_view(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    pasted = request.GET.get("q", "")
    answer = search.find(search.read(pasted), request.user)
    context = {
        **admin.site.each_context(request),
        "title": "Search",
        "subtitle": None,
        "search_text": answer.question.text,
        "answer": answer,
        "may_explain": request.user.has_perm("gateway.view_routingrecord"),
        **(_about(answer.address) if answer.address else {}),
        **(extra_context or {}),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/search.html", context)


def _about(found: AddressAnswer) -> dict[str, Any]:
    """What the page says of one address beside what was found."""
    explanation = found.explanation
    sender = str(explanation.sender or "") if explanation else ""
    return {
        "found": found,
        "colour": COLOURS[found.standing],
        "explain_url": explain_url(str(found.address), sender),
        "reply_colour": reply_colour(explanation.reply) if explanation else "",
    }
