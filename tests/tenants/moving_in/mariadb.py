"""Debian's MariaDB as the database of another product: a server with a data folder of its own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql.constants import CLIENT

from tests.gateway.peers import open_folder, program, running, unprivileged
from tests.gateway.sink import free_port

USER, PASSWORD = "jo", "s@cr/et%"
# Nothing outlives the test, so nothing is made safe against a loss of power.
QUICK = (
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-use-native-aio=0",
    "--innodb-fast-shutdown=3",
    "--performance-schema=OFF",
    "--key-buffer-size=64K",
    "--aria-pagecache-buffer-size=1M",
)
ACCOUNT = f"""
CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';
"""


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A running server, on a port of loopback."""

    port: int

    def url(self, database: str = "", *, password: str = PASSWORD) -> str:
        return f"mysql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def run(self, statements: str, *, database: str | None = None) -> None:
        """Run these, one after the other, as a client that loads a dump does."""
        with closing(self._connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statements)
            while cursor.nextset():
                continue
            connection.commit()

    def ask(self, statement: str) -> Any:
        """The first column of the first row."""
        with closing(self._connect(None)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()[0][0]

    def _connect(self, database: str | None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            database=database,
            charset="utf8mb4",
            client_flag=CLIENT.MULTI_STATEMENTS,
        )


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """A server with one account, for as long as the block runs; nobody's where root starts it."""
    with open_folder("mariadb") as folder:
        port, owner = free_port(), unprivileged()
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        where = [f"--datadir={folder}/data", f"--user={owner.pw_name}", *QUICK]
        _install(where)
        accounts = folder / "accounts.sql"
        accounts.write_text(ACCOUNT)
        command = [program("mariadbd"), "--no-defaults", *where, f"--init-file={accounts}"]
        with running([*command, *_listening(folder, port)], port):
            yield MariaDb(port)


def _install(where: list[str]) -> None:
    command = [program("mariadb-install-db"), "--no-defaults", "--skip-test-db", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _listening(folder: Path, port: int) -> list[str]:
    return [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
    ]
