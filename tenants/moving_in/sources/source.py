"""What a product is to us: the tables it keeps routing in, and how their rows are read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tenants.moving_in.dump.reader import Row, Schema
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.sources import mailcow, modoboa, postfixadmin

Tables = Mapping[str, list[Row]]


@dataclass(frozen=True, slots=True)
class Product:
    """A product by its name; `needed` tables tell whether a database is one of its."""

    label: str
    schema: Schema
    needed: frozenset[str]
    take: Callable[[Tables], Inventory]


PRODUCTS = {
    "postfixadmin": Product(
        "PostfixAdmin",
        postfixadmin.SCHEMA,
        frozenset({"domain", "mailbox", "alias"}),
        postfixadmin.take,
    ),
    "mailcow": Product(
        "mailcow", mailcow.SCHEMA, frozenset({"domain", "mailbox", "alias"}), mailcow.take
    ),
    "modoboa": Product(
        "Modoboa",
        modoboa.SCHEMA,
        frozenset({"admin_domain", "admin_mailbox", "admin_alias"}),
        modoboa.take,
    ),
}


class NotThisProduct(ValueError):
    """Tables that the product has are missing; the message names them."""


def collect(product: Product, rows: Iterable[tuple[str, Row]]) -> Inventory:
    """The inventory of a product's rows. Raises NotThisProduct where no domain is among them."""
    tables: dict[str, list[Row]] = {name: [] for name in product.schema}
    for table, row in rows:
        tables[table].append(row)
    if missing := sorted(name for name in product.needed if not tables[name]):
        raise NotThisProduct(
            f"No rows of {', '.join(missing)}: this does not look like {product.label}'s database."
        )
    return product.take(tables)
