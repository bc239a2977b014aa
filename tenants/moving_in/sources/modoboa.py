"""Modoboa: its tables, and the look-ups that it generates for Postfix (its postfix_maps.py files).

Mailboxes and alias domains have internal alias rows of their own; an alias domain's says `@target`,
so that every local part is taken there.
"""

from collections import defaultdict
from collections.abc import Mapping

from tenants.moving_in.dump.reader import Row
from tenants.moving_in.inventory import DomainKind, Inventory
from tenants.moving_in.sources.values import is_true, moment, transport

SCHEMA = {
    "admin_domain": ("id", "name", "type", "enabled", "transport_id"),
    "admin_domainalias": ("name", "target_id", "enabled"),
    "admin_mailbox": ("id", "address", "domain_id", "user_id"),
    "core_user": ("id", "first_name", "last_name", "is_active"),
    "admin_alias": ("id", "address", "enabled", "expire_at", "description"),
    "modoboa_admin_aliasrecipient": ("alias_id", "address"),
    "admin_senderaddress": ("mailbox_id", "address"),
    "transport_transport": ("id", "pattern", "service", "next_hop"),
    "postfix_autoreply_armessage": ("mbox_id", "enabled"),
}


def take(tables: Mapping[str, list[Row]]) -> Inventory:
    """The inventory of these rows; passwords and quotas are never read."""
    found = Inventory()
    domains = _take_domains(tables, found)
    mailboxes = _take_mailboxes(tables, found, domains)
    recipients = defaultdict(list)
    for alias_id, address in tables["modoboa_admin_aliasrecipient"]:
        recipients[alias_id].append(address or "")
    for pk, address, enabled, ends, note in tables["admin_alias"]:
        found.take_alias(
            address,
            recipients[pk],
            active=is_true(enabled),
            expires_at=moment(ends),
            note=note or "",
        )
    for mailbox_id, address in tables["admin_senderaddress"]:
        found.take_send_as(mailboxes.get(mailbox_id), address)
    for mailbox_id, enabled in tables["postfix_autoreply_armessage"]:
        if is_true(enabled):
            why = "Automatic replies are not made here: let the mailbox's server send them."
            found.leave(f"automatic reply of {mailboxes.get(mailbox_id)}", why)
    return found


def _take_domains(
    tables: Mapping[str, list[Row]], found: Inventory
) -> dict[str | None, str | None]:
    """Domains by id; alias domains are domains that an internal alias leads away from."""
    ways = {pk: _way(service, hop) for pk, _pattern, service, hop in tables["transport_transport"]}
    for _pk, name, kind, enabled, transport_id in tables["admin_domain"]:
        relayed = DomainKind.RELAYED_WHOLE if kind == "relaydomain" else DomainKind.HOSTED
        hop = transport(ways.get(transport_id))
        found.take_domain(name, active=is_true(enabled), kind=relayed, hop=hop)
    names = {pk: name for pk, name, *_ in tables["admin_domain"]}
    for name, target_id, enabled in tables["admin_domainalias"]:
        if is_true(enabled):
            found.take_alias_domain(name, names.get(target_id))
        else:
            found.leave(f"alias domain {name}", "It is switched off.")
    return names


def _way(service: str | None, hop: str | None) -> str:
    """As transport(5) writes it."""
    return f"{'smtp' if service == 'relay' else service}:{hop}"


def _take_mailboxes(
    tables: Mapping[str, list[Row]], found: Inventory, domains: Mapping[str | None, str | None]
) -> dict[str | None, str | None]:
    users = {
        pk: (f"{first or ''} {last or ''}".strip(), on)
        for pk, first, last, on in tables["core_user"]
    }
    mailboxes: dict[str | None, str | None] = {}
    for pk, local_part, domain_id, user_id in tables["admin_mailbox"]:
        name, is_active = users.get(user_id, ("", None))
        address = f"{local_part}@{domains.get(domain_id)}"
        mailboxes[pk] = address
        found.take_mailbox(address, name=name, active=is_true(is_active))
    return mailboxes
