"""The private PostgreSQL of a benchmark, and one database in it for each size.

It is the product's own embedded server, durable as in production; it only lets
peers in as well, which run under accounts of their own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benchmarks.population import Population
from mailrouting.embedded import ROLE, socket_folder
from mailrouting.postgres import cluster

PROJECT = Path(__file__).resolve().parent.parent
SUPERUSER = "postgres"
HOP = "Benchmark"  # the next hop of all mailboxes
# What peers read: copies of our very rows, as narrow as their administrators would make them.
PEERS_ALIASES = "benchmark_peers_aliases"
PEERS_DOMAINS = "benchmark_peers_domains"


@dataclass(frozen=True, slots=True)
class Database:
    """A database that holds a population; `folder` is for files of processes on it."""

    url: str
    people: Population
    folder: Path

    def environment(self) -> Mapping[str, str]:
        """The environment of our own commands on this database."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mailrouting.settings",
            "DATABASE_URL": self.url,
            "DATA_DIR": str(self.folder),
            "SECRET_KEY": "only for the benchmark's private gateway",
            "DEBUG": "false",
        }

    def run(self, *arguments: str, role: str = ROLE) -> None:
        """Run our Python with these arguments on the database, to the end."""
        environment = {**self.environment(), "DATABASE_URL": _as_role(self.url, role)}
        subprocess.run([sys.executable, *arguments], env=environment, cwd=PROJECT, check=True)


@contextmanager
def private_cluster(work: Path) -> Iterator[str]:
    """URL of a PostgreSQL that lives in the folder and ends with the block."""
    with cluster(work / "postgres", durable=True) as url:
        _open_socket(work / "postgres")
        yield url


def _open_socket(data_dir: Path) -> None:
    """Let other accounts reach the server; it still asks each for the password."""
    folder = socket_folder(data_dir)
    folder.chmod(0o711)
    for found in folder.glob(".s.PGSQL.*"):
        if found.is_socket():
            found.chmod(0o777)


def version(cluster_url: str) -> str:
    """PostgreSQL's version, as 18.4."""
    with psycopg.connect(cluster_url) as session:
        return f"{session.info.server_version // 10_000}.{session.info.server_version % 10_000}"


def load(cluster_url: str, people: Population, work: Path) -> Database:
    """A new database with our schema and these rows."""
    name = f"benchmark_{people.aliases}_{people.domains}_{people.waiting}"
    with psycopg.connect(cluster_url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = urlunsplit(urlsplit(cluster_url)._replace(path=f"/{name}"))
    folder = work / name
    folder.mkdir()
    database = Database(url, people, folder)
    database.run("manage.py", "migrate", "--skip-checks", "--verbosity", "0")
    database.run(
        *("-m", "benchmarks.loading", str(people.aliases), str(people.domains)), role=SUPERUSER
    )
    if people.waiting:
        database.run("-m", "benchmarks.backlog", str(people.waiting), role=SUPERUSER)
    return database


def _as_role(url: str, role: str) -> str:
    """The same address for another role; the embedded server gives all one password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(ROLE, role, 1)))
