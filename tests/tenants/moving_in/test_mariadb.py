"""PostfixAdmin's and mailcow's tables in a real MariaDB, where most of them are."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tenants.moving_in.reading import UnreadableSource, read_live
from tests.tenants.moving_in import installations
from tests.tenants.moving_in.mariadb import MariaDb, mariadb
from tests.tenants.moving_in.test_plan import planned, read

pytestmark = [pytest.mark.needs("mariadb"), pytest.mark.enable_socket]

DUMPS = {"postfixadmin": installations.postfixadmin, "mailcow": installations.mailcow}
# A table that empties another one when it is read; for good, since MyISAM takes nothing back.
WRITES = """
CREATE TABLE kept ENGINE=MyISAM AS SELECT 1 AS one;
CREATE FUNCTION wrote() RETURNS varchar(9) BEGIN DELETE FROM kept; RETURN 'x'; END;
CREATE VIEW domain AS SELECT wrote() AS domain, 0 AS backupmx, '' AS transport, 1 AS active;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with mariadb() as running:
        yield running


@pytest.fixture(scope="module", params=DUMPS)
def product(server: MariaDb, request: pytest.FixtureRequest) -> str:
    """The name of a product whose dump was loaded into a database of that name."""
    name = str(request.param)
    server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    # As a dump begins: what a column cannot hold becomes its nearest value.
    server.run(f"SET sql_mode = ''; {DUMPS[name]()}", database=name)
    return name


def test_mariadb_gives_what_a_dump_of_it_gives(server: MariaDb, product: str) -> None:
    live = read_live(product, server.url(product))
    assert live == read(product)
    assert planned(live) == planned(read(product))
    assert planned(live)[0], "a plan of nothing would be equal, too"


def test_mariadb_is_asked_in_a_session_that_cannot_write(server: MariaDb) -> None:
    server.run("CREATE DATABASE trap")
    server.run(WRITES, database="trap")
    with suppress(UnreadableSource):
        read_live("postfixadmin", server.url("trap"))
    assert server.ask("SELECT count(*) FROM trap.kept") == 1
    assert server.ask("SELECT domain FROM trap.domain") == "x"
    assert server.ask("SELECT count(*) FROM trap.kept") == 0, "the trap works"


def test_mariadb_s_refusal_is_told_without_the_password(server: MariaDb) -> None:
    with pytest.raises(UnreadableSource, match="Access denied") as raised:
        read_live("mailcow", server.url("mailcow", password="wr@ng"))
    assert "wr@ng" not in str(raised.value)
