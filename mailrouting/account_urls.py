"""Which of allauth's pages there are: to sign in and out, second factors, one's own password.

None that would send mail, since the panel sends none to its users: a link that resets a password
would end in the log of the web process, for whoever asks for it.
"""

from allauth.account import views
from allauth.urls import build_provider_urlpatterns
from django.urls import include, path
from django.views.generic import TemplateView

no_reset = TemplateView.as_view(template_name="account/no_password_reset.html")

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("signup/", views.signup, name="account_signup"),  # says that there is none
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("password/set/", views.password_set, name="account_set_password"),
    path("password/reset/", no_reset, name="account_reset_password"),
    path("2fa/", include("allauth.mfa.urls")),
    path("3rdparty/", include("allauth.socialaccount.urls")),
    *build_provider_urlpatterns(),
]
