"""Liveness, readiness and metrics of every process.

/livez says that the process runs, /readyz names what is missing before it can do its
work, /metrics is for Prometheus. The web process answers by the views, each other
process by a small HTTP listener of its own.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network

import prometheus_client
from django.conf import settings
from django.db import Error, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

Ready = Callable[[], list[str]]
Answer = tuple[HTTPStatus, str, bytes]

TEXT = "text/plain; charset=utf-8"
CLIENT_TIMEOUT_SECONDS = 10

_has_migrated = threading.Event()


def database() -> list[str]:
    """What is missing: nothing, or the database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return ["the database does not answer"]
    return []


def migrations() -> list[str]:
    """What is missing: migrations to apply. Once there were none it is not asked again."""
    if _has_migrated.is_set():
        return []
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        _has_migrated.set()
    return [f"migration {migration} is not applied" for migration, _ in plan]


def serve(port: int, ready: Ready, *, host: str | None = None) -> ThreadingHTTPServer:
    """Answer the probes on a port of its own in daemon threads; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT_SECONDS

        def do_GET(self) -> None:
            try:
                status, kind, body = answer(self.path.partition("?")[0], ready)
            finally:
                connections.close_all()  # this thread's alone, which ends with the answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Probes come every few seconds; their lines would hide the others."""

    server = ThreadingHTTPServer((host or settings.PROBE_HOST, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server


def answer(path: str, ready: Ready) -> Answer:
    """Status, content type and body for one of the three paths."""
    match path:
        case "/livez":
            return HTTPStatus.OK, TEXT, b"alive\n"
        case "/readyz":
            return _readiness(ready)
        case "/metrics":
            return HTTPStatus.OK, prometheus_client.CONTENT_TYPE_LATEST, _metrics()
    return HTTPStatus.NOT_FOUND, TEXT, b"/livez, /readyz or /metrics\n"


def _readiness(ready: Ready) -> Answer:
    if missing := ready():
        return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, "".join(f"{it}\n" for it in missing).encode()
    return HTTPStatus.OK, TEXT, b"ready\n"


def _metrics() -> bytes:
    return prometheus_client.generate_latest()


@require_safe
def livez(_request: HttpRequest) -> HttpResponse:
    """The web process runs."""
    return HttpResponse("alive\n", content_type=TEXT)


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """The web process can work: its database answers and has this code's tables."""
    missing = database() or migrations()
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    text = "".join(f"{it}\n" for it in missing) or "ready\n"
    return HttpResponse(text, content_type=TEXT, status=status)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For clients in METRICS_NETWORKS that come directly, not through a proxy."""
    if "X-Forwarded-For" in request.headers or not _is_metrics_client(request.META["REMOTE_ADDR"]):
        raise Http404
    return HttpResponse(_metrics(), content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _is_metrics_client(address: str) -> bool:
    try:
        client = ip_address(address)
    except ValueError:  # a Unix socket has none
        return False
    return any(client in ip_network(network) for network in settings.METRICS_NETWORKS)
