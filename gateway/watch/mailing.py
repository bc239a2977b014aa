"""The panel's own mail: over SMTP to the one server that the settings name."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from gateway import smarthost
from gateway.watch.outcome import Undelivered

BACKEND = "django.core.mail.backends.smtp.EmailBackend"
TIMEOUT_SECONDS = 30


def mail(identifier: str, recipient: str, subject: str, text: str) -> str:
    """Send one mail whose Message-ID is the identifier; who took it. Raises Undelivered."""
    server = smarthost.parse(settings.PANEL_MAIL_URL)
    if server is None:
        raise Undelivered("no server is set for the panel's own mail: set PANEL_MAIL_URL")
    headers = {
        "Message-ID": f"<{identifier}@{settings.GATEWAY_HOSTNAME}>",
        "Auto-Submitted": "auto-generated",  # RFC 3834: no vacation notes
    }
    message = EmailMessage(subject, text, settings.PANEL_MAIL_FROM, [recipient], headers=headers)
    message.connection = get_connection(
        BACKEND,
        host=server.hop.host,
        port=server.hop.port,
        username=server.login.username if server.login else "",
        password=server.login.password if server.login else "",
        use_tls=server.hop.tls == "required",
        use_ssl=server.hop.tls == "implicit",
        timeout=TIMEOUT_SECONDS,
    )
    try:
        message.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:  # the last for odd addresses
        raise Undelivered(str(error) or type(error).__name__) from error
    return f"taken by {server.hop.host}:{server.hop.port}"
