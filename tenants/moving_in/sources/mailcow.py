"""mailcow: its tables, and the look-ups that its Postfix makes of them.

Active 2 is a mailbox that takes mail though nobody may sign in. Alias domains stand for the
mailboxes of their target alone. Targets at localhost are what its filters learn from, or nothing.
"""

from collections.abc import Mapping

from tenants.moving_in.dump.reader import Row
from tenants.moving_in.inventory import DISCARD, DomainKind, Inventory, OldHop
from tenants.moving_in.sources.postfixadmin import NO_FETCHING
from tenants.moving_in.sources.values import epoch, is_true, split_targets, transport

SCHEMA = {
    "domain": ("domain", "backupmx", "relay_all_recipients", "relayhost", "active"),
    "mailbox": ("username", "name", "kind", "active"),
    "alias": ("address", "goto", "public_comment", "private_comment", "active"),
    "alias_domain": ("alias_domain", "target_domain", "active"),
    "spamalias": ("address", "goto", "validity", "permanent"),
    "sender_acl": ("logged_in_as", "send_as", "external"),
    "bcc_maps": ("local_dest", "bcc_dest", "type", "active"),
    "recipient_maps": ("old_dest", "new_dest", "active"),
    "transports": ("destination", "nexthop", "is_mx_based", "active"),
    "relayhosts": ("id", "hostname", "active"),
    "imapsync": ("user2", "host1", "active"),
}
LOCAL = {"null@localhost": DISCARD}
NO_LEARNING = "A content filter's learning is not fed by addresses here."


def take(tables: Mapping[str, list[Row]]) -> Inventory:
    """The inventory of these rows; passwords and filters' settings are never read."""
    found = Inventory()
    _take_domains(tables, found)
    for username, name, kind, active in tables["mailbox"]:
        if kind in ("location", "thing", "group"):
            found.take_alias(username, [DISCARD], active=is_active(active), note=f"{kind} {name}")
        else:
            found.take_mailbox(username, name=name, active=is_active(active))
    _take_aliases(tables, found)
    for mailbox, address, external in tables["sender_acl"]:
        if is_true(external, default=False):
            why = "The address is on a domain that is not served here."
            found.leave(f"permission of {mailbox} to send as {address}", why)
        else:
            found.take_send_as(mailbox, address)
    _take_maps(tables, found)
    return found


def is_active(value: str | None) -> bool:
    return value is not None and value.strip() in ("1", "2")


def _take_domains(tables: Mapping[str, list[Row]], found: Inventory) -> None:
    hops = _hops(tables, found)
    for name, backup, takes_all, relayhost, active in tables["domain"]:
        kind = DomainKind.HOSTED
        if is_true(backup, default=False):
            takes_every = is_true(takes_all, default=False)
            kind = DomainKind.RELAYED_WHOLE if takes_every else DomainKind.RELAYED
        hop = hops.get((name or "").lower())
        found.take_domain(name, active=is_active(active), kind=kind, hop=hop)
        if relayhost and relayhost != "0":
            why = "It is the way of mail that the domain sends: nothing is sent for mailboxes here."
            found.leave(f"sender-dependent relay of {name}", why)
    for name, target, active in tables["alias_domain"]:
        if is_true(active):
            found.take_alias_domain(name, target, covers_aliases=False)
        else:
            found.leave(f"alias domain {name}", "It is switched off.")


def _hops(tables: Mapping[str, list[Row]], found: Inventory) -> dict[str, OldHop]:
    hops = {}
    for destination, nexthop, is_mx_based, active in tables["transports"]:
        if not is_true(active):
            continue
        hop = transport(f"smtp:{nexthop}")
        if hop is None or is_true(is_mx_based, default=False):
            why = "Only a next hop in brackets is taken over: mail is never delivered by MX here."
            found.leave(f"transport of {destination} to {nexthop}", why)
        else:
            hops[(destination or "").lower()] = hop
    return hops


def _take_aliases(tables: Mapping[str, list[Row]], found: Inventory) -> None:
    for address, goto, public, private, active in tables["alias"]:
        targets = _targets(found, address, goto)
        note = "\n".join(filter(None, (public, private)))
        found.take_alias(address, targets, active=is_active(active), note=note)
    for address, goto, validity, permanent in tables["spamalias"]:
        targets = _targets(found, address, goto)
        ends = None if is_true(permanent, default=False) else epoch(validity)
        note = "temporary alias" if ends else "spam alias"
        found.take_alias(address, targets, expires_at=ends, note=note)


def _targets(found: Inventory, address: str | None, goto: str | None) -> list[str]:
    targets = []
    for text in split_targets(goto):
        if text.strip() in ("spam@localhost", "ham@localhost"):
            found.leave(f"alias {address}, target {text.strip()}", NO_LEARNING)
        else:
            targets.append(LOCAL.get(text.strip(), text))
    return targets


def _take_maps(tables: Mapping[str, list[Row]], found: Inventory) -> None:
    for local, copy, kind, active in tables["bcc_maps"]:
        if not is_true(active):
            continue
        if kind == "rcpt":
            found.take_copy(local, copy)
        else:
            why = "Copies are made of mail that comes in, not of what is sent."
            found.leave(f"copy of mail from {local} to {copy}", why)
    for old, new, active in tables["recipient_maps"]:
        if not is_true(active):
            continue
        if (old or "").startswith("@"):
            why = "Recipients are rewritten one by one here, as aliases, not for a whole domain."
            found.leave(f"recipient map {old} to {new}", why)
        else:
            found.take_alias(old, split_targets(new), note="recipient map")
    for user, host, _active in tables["imapsync"]:
        found.leave(f"fetching mail from {host} for {user}", NO_FETCHING)
