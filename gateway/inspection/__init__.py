"""Looking at a whole message before 250: what is seen decides whether it is taken, held or marked.

inspector.py says what an Inspector is; each examination has a module of its own and is set up here.
"""

from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from gateway.inspection.authenticator import Authenticator
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
    return (authenticator,)
