"""Looking at a whole message before 250: what is seen decides whether it is taken, held or marked.

inspector.py says what an Inspector is; each examination has a module of its own and is set up here.
"""

from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from gateway.inspection.authenticator import Authenticator
from gateway.inspection.content_filter.filtering import ContentFilter
from gateway.inspection.content_filter.rspamd import Rspamd
from gateway.inspection.inspector import Inspector
from gateway.inspection.resolver import CachingResolver

# Large messages are hashed here; more threads would only take turns.
THREADS = 2


def configured() -> tuple[Inspector, ...]:
    """The inspectors of a gateway process, in the order in which their headers stand."""
    authenticator = Authenticator(
        CachingResolver(settings.DNS_RESOLVERS),
        server=settings.AUTHSERV_ID,
        executor=ThreadPoolExecutor(THREADS, thread_name_prefix="inspection"),
        is_always=settings.AUTHENTICATE_ALL_MAIL,
    )
    return (authenticator, *_content_filter())


def _content_filter() -> tuple[Inspector, ...]:
    if not settings.CONTENT_FILTER_URL:
        return ()
    rspamd = Rspamd(
        settings.CONTENT_FILTER_URL,
        password=settings.CONTENT_FILTER_PASSWORD,
        deadline_seconds=settings.CONTENT_FILTER_SECONDS,
        most_octets=settings.CONTENT_FILTER_MAX_OCTETS,
        virus_symbols=settings.CONTENT_FILTER_VIRUS_SYMBOLS,
        mta_name=settings.GATEWAY_HOSTNAME,
    )
    return (ContentFilter(rspamd),)
