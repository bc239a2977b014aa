"""The one admin site: Unfold's, with the pages that belong to no single model."""

from typing import Any

from django.contrib.admin import autodiscover
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register
from django.http import HttpRequest
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite


class PanelAdminConfig(SimpleAdminConfig):
    """Leaves the pages to whoever shows or checks them: they double what a gateway has to load."""

    default_site = "mailrouting.site.PanelSite"

    def ready(self) -> None:
        register(check_dependencies, Tags.admin)
        register(check_pages, Tags.admin)


def check_pages(**options: Any) -> list[CheckMessage]:
    """As Django's check of the admin, which looks only at pages that are loaded."""
    autodiscover()
    found: list[CheckMessage] = check_admin_app(**options)
    return found


class PanelSite(UnfoldAdminSite):
    """Every page of it asks for staff; mailrouting.second_factor asks for their second factor."""

    index_title = "Overview"
    empty_value_display = "—"

    def extra_urls(self) -> list[URLPattern]:
        from gateway.admin.explain import explain_view
        from gateway.admin.queue import queue_view
        from tenants.admin.erasure import erasure_view
        from tenants.admin.imports import import_view

        return [
            path("erasure/", self.admin_view(erasure_view), name="erasure"),
            path("explain/", self.admin_view(explain_view), name="explain"),
            path("import/", self.admin_view(import_view), name="import"),
            path("queue/", self.admin_view(queue_view), name="queue"),
        ]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """In place of Unfold's, which looks through the names of pages."""
        from gateway.admin.search import search_view

        return search_view(request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        from mailrouting.dashboard import numbers

        return super().index(request, {**numbers(request), **(extra_context or {})})
