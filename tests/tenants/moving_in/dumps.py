"""Writes dumps as mysqldump and pg_dump do, of the products' documented tables.

Only the columns that matter and some beside them: the reader has to find its own by name.
"""

from collections.abc import Mapping, Sequence

Value = str | int | None
Rows = Sequence[tuple[Value, ...]]

POSTFIXADMIN = {
    "domain": "domain description aliases mailboxes maxquota quota transport backupmx created"
    " modified active password_expiry",
    "mailbox": "username password name maildir quota local_part domain created modified active",
    "alias": "address goto domain created modified active",
    "alias_domain": "alias_domain target_domain created modified active",
    "vacation": "email subject body activefrom activeuntil cache domain created active",
    "fetchmail": "id mailbox src_server src_auth src_user src_password src_folder poll_time",
}
MAILCOW = {
    "domain": "domain description aliases mailboxes defquota maxquota quota relayhost backupmx gal"
    " relay_all_recipients relay_unknown_only created modified active",
    "mailbox": "username password name description mailbox_path_prefix quota local_part domain"
    " attributes custom_attributes kind multiple_bookings authsource created modified active",
    "alias": "id address goto domain created modified private_comment public_comment sogo_visible"
    " internal active",
    "alias_domain": "alias_domain target_domain created modified active",
    "spamalias": "address goto created modified validity permanent",
    "sender_acl": "id logged_in_as send_as external",
    "bcc_maps": "id local_dest bcc_dest domain type created modified active",
    "recipient_maps": "id old_dest new_dest created modified active",
    "transports": "id destination nexthop username password is_mx_based active",
}
MODOBOA = {
    "admin_domain": "id creation last_modification name quota enabled type transport_id",
    "admin_domainalias": "id creation last_modification name enabled target_id",
    "admin_mailbox": "id creation last_modification address quota use_domain_quota domain_id"
    " user_id",
    "core_user": "id password username first_name last_name email is_active",
    "admin_alias": "id creation last_modification address enabled internal description expire_at"
    " domain_id",
    "modoboa_admin_aliasrecipient": "id address alias_id r_alias_id r_mailbox_id",
    "admin_senderaddress": "id address mailbox_id",
}
# As the products declare them; every other column is a text.
MYSQL_TYPES = {
    **dict.fromkeys(("active", "backupmx", "permanent"), "tinyint(1) NOT NULL DEFAULT 0"),
    **dict.fromkeys(("id", "validity"), "int(11) NOT NULL DEFAULT 0"),
    **dict.fromkeys(("quota", "maxquota"), "bigint(20) NOT NULL DEFAULT 0"),
    **dict.fromkeys(("created", "modified"), "datetime NOT NULL DEFAULT current_timestamp()"),
    **dict.fromkeys(("goto", "body"), "text NOT NULL"),
    "private_comment": "varchar(160) DEFAULT NULL",
}
SECRET = "{SHA512-CRYPT}$6$it's a \\ secret; never (kept)"
_FILLED = {"password": SECRET, "created": "2024-01-02 03:04:05", "modified": "2024-01-02 03:04:05"}


def rows(
    tables: Mapping[str, str], given: Mapping[str, list[Mapping[str, Value]]]
) -> dict[str, Rows]:
    """Whole rows in the order of the table's columns; what is not given is filled."""
    return {
        table: [
            tuple(each.get(name, _FILLED.get(name, "")) for name in tables[table].split())
            for each in found
        ]
        for table, found in given.items()
    }


def mysqldump(tables: Mapping[str, str], given: Mapping[str, list[Mapping[str, Value]]]) -> str:
    """As MariaDB's mysqldump: CREATE TABLE, then one INSERT of all rows without column names."""
    parts = ["-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)\n"]
    parts.append("/*!40101 SET NAMES utf8mb4 */;\n")
    filled = rows(tables, given)
    for table, columns in tables.items():
        parts.append(f"DROP TABLE IF EXISTS `{table}`;\nCREATE TABLE `{table}` (\n")
        parts += [f"  `{name}` {_mysql_type(name)},\n" for name in columns.split()]
        parts.append(
            f"  KEY `k` (`{columns.split()[0]}`)\n) ENGINE=InnoDB COMMENT='it''s; (so)';\n"
        )
        parts.append(f"LOCK TABLES `{table}` WRITE;\n")
        if found := filled.get(table):
            values = ",\n".join(f"({','.join(map(_mysql, row))})" for row in found)
            parts.append(f"INSERT INTO `{table}` VALUES {values};\n")
        parts.append("UNLOCK TABLES;\n")
    return "".join(parts)


def pg_dump(tables: Mapping[str, str], given: Mapping[str, list[Mapping[str, Value]]]) -> str:
    """As pg_dump: CREATE TABLE, then COPY blocks."""
    parts = ["--\n-- PostgreSQL database dump\n--\n\n\\restrict x'y\n\nSET row_security = off;\n\n"]
    filled = rows(tables, given)
    for table, columns in tables.items():
        names = columns.split()
        parts.append(f"CREATE TABLE public.{table} (\n")
        parts.append(",\n".join(f"    {name} text DEFAULT ''::text NOT NULL" for name in names))
        parts.append(f"\n);\n\nCOPY public.{table} ({', '.join(names)}) FROM stdin;\n")
        parts += ["\t".join(map(_copied, row)) + "\n" for row in filled.get(table, ())]
        parts.append("\\.\n\n")
    return "".join(parts)


def _mysql_type(column: str) -> str:
    return MYSQL_TYPES.get(column, "varchar(255) NOT NULL DEFAULT ''")


def _mysql(value: Value) -> str:
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _copied(value: Value) -> str:
    if value is None:
        return "\\N"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
