"""The web process under an ASGI server, for those who run one already."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailrouting.settings")
application = get_asgi_application()

from mailrouting.logging import configure  # noqa: E402 - needs the settings

configure("web")
