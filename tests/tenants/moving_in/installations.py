"""Installations to move in from, as dumps of the products' documented tables.

Each shows every kind of row once; what the new side is expected to treat differently is planted by
the tests that want it.
"""

from datetime import UTC, datetime
from typing import Any

from tests.tenants.moving_in.dumps import MAILCOW, MODOBOA, POSTFIXADMIN, mysqldump, pg_dump

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())  # mailcow keeps 31 bits
EARLIER = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def alias(address: str, goto: str, active: int = 1, **more: Any) -> dict[str, Any]:
    return {"address": address, "goto": goto, "active": active, **more}


def box(address: str, active: int = 1, **more: Any) -> dict[str, Any]:
    return {"username": address, "name": "Jo O'Neil", "active": active, **more}


POSTFIXADMIN_ROWS = {
    "domain": [
        {"domain": "ALL", "active": 1},
        {"domain": "old.example", "transport": "virtual", "backupmx": 0, "active": 1},
        {"domain": "also.example", "transport": "virtual", "backupmx": 0, "active": 1},
        {"domain": "off.example", "transport": "virtual", "backupmx": 0, "active": 0},
        {
            "domain": "far.example",
            "transport": "lmtp:inet:store.far.example:24",
            "backupmx": 0,
            "active": 1,
        },
    ],
    "mailbox": [
        box("jo@old.example"),
        box("Ann@old.example"),
        box("gone@old.example", 0),
        box("away@old.example"),
        box("quiet@old.example"),
        box("sam@off.example"),
        box("lee@far.example"),
    ],
    "alias": [
        alias("jo@old.example", "jo@old.example"),
        alias("Ann@old.example", "ann@old.example,ann@elsewhere.example"),
        alias("gone@old.example", "gone@old.example", 0),
        alias("away@old.example", "away@old.example,away#old.example@autoreply.old.example"),
        alias("quiet@old.example", "quiet@old.example", 0),
        alias("sam@off.example", "sam@off.example"),
        alias("lee@far.example", "lee@far.example"),
        alias("team@old.example", "jo@old.example,sales@old.example"),
        alias("sales@old.example", "ann@old.example,partner@elsewhere.example"),
        alias("info@old.example", "lee@far.example"),
        alias("former@old.example", "jo@old.example", 0),
        alias("Mixed.Case@old.example", "JO@OLD.example"),
        alias("dup@old.example", "jo@old.example,jo@old.example,team@old.example"),
        alias("half@old.example", "jo@old.example,|/usr/bin/vacation"),
        alias("o'brien@old.example", "jo@old.example"),
    ],
    "alias_domain": [
        {"alias_domain": "also.example", "target_domain": "old.example", "active": 1},
        {"alias_domain": "unused.example", "target_domain": "old.example", "active": 0},
    ],
    "vacation": [{"email": "away@old.example", "subject": "I'm away", "active": 1}],
    "fetchmail": [{"mailbox": "jo@old.example", "src_server": "pop.example.net", "src_user": "jo"}],
}
MAILCOW_ROWS = {
    "domain": [
        {
            "domain": "cow.example",
            "backupmx": 0,
            "relay_all_recipients": 0,
            "active": 1,
            "relayhost": "0",
        },
        {
            "domain": "relay.example",
            "backupmx": 1,
            "relay_all_recipients": 0,
            "active": 1,
            "relayhost": "3",
        },
    ],
    "mailbox": [
        box("moo@cow.example"),
        box("noimap@cow.example", 2),
        box("closed@cow.example", 0),
        box("room@cow.example", kind="location"),
    ],
    "alias": [
        alias("moo@cow.example", "moo@cow.example", id=1),
        alias("noimap@cow.example", "noimap@cow.example", 2, id=2),
        alias("closed@cow.example", "closed@cow.example", 0, id=3),
        alias(
            "herd@cow.example",
            "moo@cow.example,noimap@cow.example",
            id=4,
            private_comment="asked for by Jo",
        ),
        alias("black.hole@cow.example", "null@localhost", id=5),
        alias("pass@relay.example", "pass@relay.example", id=7),
    ],
    "alias_domain": [{"alias_domain": "calf.example", "target_domain": "cow.example", "active": 1}],
    "spamalias": [
        {"address": "t1@cow.example", "goto": "moo@cow.example", "validity": LATER, "permanent": 0},
        {
            "address": "t2@cow.example",
            "goto": "moo@cow.example",
            "validity": EARLIER,
            "permanent": 0,
        },
        {"address": "t3@cow.example", "goto": "moo@cow.example", "validity": 0, "permanent": 1},
    ],
    "sender_acl": [
        {"id": 1, "logged_in_as": "moo@cow.example", "send_as": "herd@cow.example", "external": 0},
        {"id": 2, "logged_in_as": "moo@cow.example", "send_as": "*", "external": 0},
        {"id": 3, "logged_in_as": "moo@cow.example", "send_as": "x@else.example", "external": 1},
    ],
    "bcc_maps": [
        {
            "id": 1,
            "local_dest": "herd@cow.example",
            "bcc_dest": "archive@elsewhere.example",
            "type": "rcpt",
            "active": 1,
        },
        {
            "id": 2,
            "local_dest": "moo@cow.example",
            "bcc_dest": "archive@elsewhere.example",
            "type": "sender",
            "active": 1,
        },
        {
            "id": 3,
            "local_dest": "@cow.example",
            "bcc_dest": "archive@elsewhere.example",
            "type": "rcpt",
            "active": 1,
        },
    ],
    "recipient_maps": [
        {"id": 1, "old_dest": "typo@cow.example", "new_dest": "moo@cow.example", "active": 1}
    ],
    "transports": [
        {
            "id": 1,
            "destination": "relay.example",
            "nexthop": "[inner.example]:2525",
            "is_mx_based": 0,
            "active": 1,
        },
        {
            "id": 2,
            "destination": "mx.example",
            "nexthop": "mx.example",
            "is_mx_based": 0,
            "active": 1,
        },
    ],
}
MODOBOA_ROWS = {
    "admin_domain": [
        {"id": 1, "name": "boa.example", "enabled": "t", "type": "domain", "transport_id": None},
        {
            "id": 2,
            "name": "passed.example",
            "enabled": "t",
            "type": "relaydomain",
            "transport_id": None,
        },
    ],
    "admin_domainalias": [{"id": 1, "name": "python.example", "enabled": "t", "target_id": 1}],
    "admin_mailbox": [
        {"id": 10, "address": "kaa", "domain_id": 1, "user_id": 100},
        {"id": 11, "address": "nag", "domain_id": 1, "user_id": 101},
    ],
    "core_user": [
        {"id": 100, "first_name": "Kaa", "last_name": "", "is_active": "t"},
        {"id": 101, "first_name": "Nag", "last_name": "Cobra", "is_active": "f"},
    ],
    "admin_alias": [
        {"id": 20, "address": "kaa@boa.example", "enabled": "t", "expire_at": None},
        {"id": 21, "address": "nag@boa.example", "enabled": "f", "expire_at": None},
        {
            "id": 22,
            "address": "snakes@boa.example",
            "enabled": "t",
            "expire_at": None,
            "description": "all of them",
        },
        {
            "id": 23,
            "address": "fair@boa.example",
            "enabled": "t",
            "expire_at": "2099-01-01 00:00:00+00",
        },
        {"id": 24, "address": "@python.example", "enabled": "t", "expire_at": None},
    ],
    "modoboa_admin_aliasrecipient": [
        {"id": 1, "address": "kaa@boa.example", "alias_id": 20},
        {"id": 2, "address": "nag@boa.example", "alias_id": 21},
        {"id": 3, "address": "kaa@boa.example", "alias_id": 22},
        {"id": 4, "address": "mowgli@jungle.example", "alias_id": 22},
        {"id": 5, "address": "kaa@boa.example", "alias_id": 23},
        {"id": 6, "address": "@boa.example", "alias_id": 24},
    ],
    "admin_senderaddress": [{"id": 1, "address": "snakes@boa.example", "mailbox_id": 10}],
}
MAPS = {
    "virtual_alias_maps": """\
# aliases
plain.example        anything
info@plain.example   jo@plain.example,
                     kim@elsewhere.example
jo@plain.example     jo@plain.example
nobody@plain.example /dev/null
@plain.example       jo@plain.example
""",
    "virtual_mailbox_maps": "jo@plain.example plain.example/jo/\n",
    "virtual_mailbox_domains": "plain.example\n",
    "relay_domains": "inner.example OK\n",
    "relay_recipient_maps": "lou@inner.example OK\n",
    "transport_maps": "inner.example relay:[10.1.2.3]:2500\nmx.example smtp:mx.example\n",
}


def postfixadmin() -> str:
    return mysqldump(POSTFIXADMIN, POSTFIXADMIN_ROWS)


def mailcow() -> str:
    return mysqldump(MAILCOW, MAILCOW_ROWS)


def modoboa() -> str:
    return pg_dump(MODOBOA, MODOBOA_ROWS)
