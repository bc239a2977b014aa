"""Who acts in a request, and why: what every write of the admin carries."""

from django.http import HttpRequest
from structlog.contextvars import get_contextvars

from tenants.changes import Actor


def actor_of(request: HttpRequest) -> Actor:
    """Whoever acts through the admin in this request."""
    return Actor(
        surface="admin",
        user=request.user,  # type: ignore[arg-type]
        request_id=str(get_contextvars().get("request_id", "")),
        client=request.META.get("REMOTE_ADDR", ""),
    )


def reason_of(request: HttpRequest) -> str:
    """The reason that was typed beside the change; empty where none was."""
    return request.POST.get("change_reason", "").strip()[:200]
