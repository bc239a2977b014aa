"""PostfixAdmin: its tables, and the look-ups that its guide gives Postfix (POSTFIX_CONF.txt).

A mailbox has an alias row of its own; an out-of-office reply is a target in the domain `autoreply`.
"""

from collections.abc import Mapping

from tenants.moving_in.dump.reader import Row
from tenants.moving_in.inventory import DomainKind, Inventory
from tenants.moving_in.sources.values import is_true, split_targets, transport

SCHEMA = {
    "domain": ("domain", "transport", "backupmx", "active"),
    "mailbox": ("username", "name", "active"),
    "alias": ("address", "goto", "active"),
    "alias_domain": ("alias_domain", "target_domain", "active"),
    "vacation": ("email", "active"),
    "fetchmail": ("mailbox", "src_server", "src_user"),
}
NO_REPLIES = "Automatic replies are not made here: let the mailbox's server send them."
NO_FETCHING = "Mail is not fetched from other servers here: let the mailbox's server do that."


def take(tables: Mapping[str, list[Row]]) -> Inventory:
    """The inventory of these rows; passwords and quotas are never read."""
    found = Inventory()
    for name, way, backup, active in tables["domain"]:
        if name == "ALL":
            continue  # the row that super-administrators are attached to
        kind = DomainKind.RELAYED_WHOLE if is_true(backup, default=False) else DomainKind.HOSTED
        found.take_domain(name, active=is_true(active), kind=kind, hop=transport(way))
    for username, name, active in tables["mailbox"]:
        found.take_mailbox(username, name=name, active=is_true(active))
    for address, goto, active in tables["alias"]:
        found.take_alias(address, _without_replies(goto), active=is_true(active))
    for name, target, active in tables["alias_domain"]:
        if is_true(active):
            found.take_alias_domain(name, target)
        else:
            found.leave(f"alias domain {name}", "It is switched off.")
    _leave_services(tables, found)
    return found


def _without_replies(goto: str | None) -> list[str]:
    """The targets; `user#example.com@autoreply.…` goes with its row of vacation."""
    return [text for text in split_targets(goto) if "@autoreply." not in text]


def _leave_services(tables: Mapping[str, list[Row]], found: Inventory) -> None:
    for email, active in tables["vacation"]:
        if is_true(active):
            found.leave(f"out-of-office reply of {email}", NO_REPLIES)
    for mailbox, server, user in tables["fetchmail"]:
        found.leave(f"fetching mail of {user} at {server} for {mailbox}", NO_FETCHING)
