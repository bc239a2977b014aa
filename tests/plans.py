"""Reads how PostgreSQL would find the rows of a query, so that no look-up goes through a table."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

# Tables that grow with addresses, edits or mail.
LARGE = frozenset(
    {
        "gateway_attempt",
        "gateway_delivery",
        "gateway_message",
        "gateway_refusalcount",
        "gateway_routingrecord",
        "tenants_address",
        "tenants_addressevent",
        "tenants_domain",
        "tenants_mailbox",
        "tenants_subaddressrule",
        "tenants_subaddressruleevent",
        "tenants_target",
        "tenants_targetevent",
    }
)


def unindexed(queries: list[dict[str, str]]) -> list[str]:
    """The parts of these queries that read a large table without a condition on an index.

    Asked with sequential scans switched off, so that empty tables are planned like full ones.
    """
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in sorted({query["sql"] for query in queries}):
            if sql.startswith(("SELECT", "WITH")):
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
                (plan,) = _as_json(cursor.fetchone()[0])
                found += [f"{node} in {sql}" for node in _scans(plan["Plan"])]
    return found


def _scans(node: dict[str, Any]) -> Iterator[str]:
    """Scans of a large table that no index narrows down."""
    children = node.get("Plans", [])
    if node.get("Relation Name") in LARGE:
        has_condition = "Index Cond" in node or any("Index Cond" in each for each in children)
        if not (has_condition or node["Node Type"] == "Bitmap Heap Scan"):
            yield f"{node['Node Type']} of {node['Relation Name']}"
    for child in children:
        yield from _scans(child)


def _as_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
