"""What every test run needs before Django reads its settings.

The first process of a run starts one private PostgreSQL, unless DATABASE_URL names a
server; the workers of pytest-xdist find its address in their environment. A test marked
`needs("postfix")` is left out where that program is missing, one that `needs("root")` for
everybody else: which is said at the end and forbidden by REQUIRE_ALL=1, as any skip is.
"""

import os
import resource
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import pytest
import structlog
from django.conf import settings
from django.template.base import Template
from django.test.utils import _TestState
from pytest_django import DjangoDbBlocker
from pytest_socket import socket_allow_hosts
from structlog.dev import ConsoleRenderer, plain_traceback
from xdist.scheduler import LoadScopeScheduling

from mailrouting.embedded import REPOSITORY
from mailrouting.postgres import cluster
from tests import template

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailrouting.settings")
os.environ.setdefault(
    "SECRET_KEY", "for tests, where it protects nothing at all and is long enough"
)
os.environ.setdefault("BROKER_URL", "memory://")
os.environ.setdefault("EMBEDDED", "1")  # plain HTTP, as the try-out

PURE = REPOSITORY / "tests" / "routing"
CHAOS = REPOSITORY / "tests" / "chaos"
TOGETHER = "tests/e2e/"
ALONE = f"{TOGETHER}test_up.py"  # starts a product of its own
MARIADB = "tests/tenants/moving_in/test_mariadb.py"  # its tests share a server
# Any of the names will do; Debian keeps servers where an ordinary PATH does not look.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "dovecot": ("dovecot",),
    "mariadb": ("mariadbd",),
    "msmtp": ("msmtp",),
    "postfix": ("postfix",),
    "rspamd": ("rspamd",),
    "redis": ("redis-server",),
    "swaks": ("swaks",),
}
LOOPBACK = ["127.0.0.0/8", "::1", "localhost"]
ROOT = "root"  # starts a whole Postfix
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
resources = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Tests hold a thousand connections; systems give an ordinary user 1,024 descriptors at first.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack = config.stash[resources] = ExitStack()
    if not hasattr(config, "workerinput"):
        _prepare_run(config, stack)
    if _needs_django(config):
        django.setup()
        # Each test's client would look through all static files before its first request.
        settings.WHITENOISE_AUTOREFRESH = True
        _log_plainly()


def _log_plainly() -> None:
    """As structlog does by itself, but without a picture of every frame of an exception."""
    plain = ConsoleRenderer(colors=False, exception_formatter=plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.fixture(scope="session", autouse=True)
def _draw_plainly(django_test_environment: None) -> None:
    """No template is noted with a copy of its context: tests read the `context_data` of answers."""
    Template._render = _TestState.saved_data.template_render


def _prepare_run(config: pytest.Config, stack: ExitStack) -> None:
    if _requires_all() and (missing := _missing()):
        raise pytest.UsageError(f"REQUIRE_ALL=1, but not here: {', '.join(missing)}.")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailrouting-tests-")))
    os.environ["DATA_DIR"] = str(folder)
    if url := os.environ.get("DATABASE_URL"):
        stack.callback(template.drop, folder, url)
    elif _needs_django(config):
        os.environ["DATABASE_URL"] = stack.enter_context(cluster(folder, durable=False))


def pytest_unconfigure(config: pytest.Config) -> None:
    if stack := config.stash.get(resources, None):
        stack.close()


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_modify_db_settings: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """One test database per worker, also for tests without a mark: those that really commit."""
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        if "PYTEST_XDIST_WORKER" in os.environ:
            template.copied(Path(os.environ["DATA_DIR"]))
        made = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Chaos takes minutes: it is run by its name alone (`make chaos`)."""
    return True if collection_path == CHAOS and CHAOS not in _chosen(config) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = set(_missing())
    left_out = [item for item in items if not missing.isdisjoint(_needs(item))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup() -> None:
    """A test reaches this machine alone, by `socket_enabled` as well: that lifts all limits."""
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _requires_all():
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1, but this was skipped: {report.longrepr}"
    return report


class Scheduling(LoadScopeScheduling):
    """Sends tests to the workers one by one, but first those that share a running product, to one.

    The groups of pytest-xdist itself go by names that pytest 9.2 no longer lets it change.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(MARIADB):
            return MARIADB
        shares = nodeid.startswith(TOGETHER) and not nodeid.startswith(ALONE)
        return TOGETHER if shares else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing := _missing():
        terminalreporter.write_line(
            f"Deselected: tests that need {', '.join(missing)}, not here (.ci/run has all)."
        )


def _needs(item: pytest.Item) -> set[str]:
    return {program for marker in item.iter_markers("needs") for program in marker.args}


def _requires_all() -> bool:
    return os.environ.get("REQUIRE_ALL") == "1"


def _missing() -> list[str]:
    """What tests may need and is not here."""
    absent = [
        program
        for program, names in PROGRAMS.items()
        if not any(shutil.which(name, path=SEARCH_PATH) for name in names)
    ]
    return absent if os.geteuid() == 0 else [*absent, ROOT]


def _needs_django(config: pytest.Config) -> bool:
    return not all(path.is_relative_to(PURE) for path in _chosen(config))


def _chosen(config: pytest.Config) -> list[Path]:
    return [Path(argument.partition("::")[0]).absolute() for argument in config.args]
