"""The web process, as gunicorn loads it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailrouting.settings")
application = get_wsgi_application()

from mailrouting import urls  # noqa: E402, F401 - before the first request, and before gunicorn forks
from mailrouting.logging import configure  # noqa: E402 - needs the settings

configure("web")
