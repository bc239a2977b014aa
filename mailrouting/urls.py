"""Every address of the web process.

The admin signs in through allauth, so that second factors and rate limits apply there too.
"""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from mailrouting import probes

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("accounts/", include("mailrouting.account_urls")),
    path("livez", probes.livez),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
]
