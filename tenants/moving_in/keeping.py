"""Sources as rows: an inventory is kept, packed, so that plan and shadow mode speak of the same."""

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from django.db.models.functions import MD5

from tenants import changes
from tenants.changes import Actor
from tenants.models import NextHop, Source, Tenant
from tenants.moving_in.inventory import Inventory

CACHED = 2  # inventories that one process keeps unpacked


def keep(
    inventory: Inventory,
    *,
    tenant: Tenant,
    next_hop: NextHop,
    product: str,
    name: str,
    domains: Sequence[str],
    actor: Actor,
) -> Source:
    """The inventory as a source of this tenant. Raises ValidationError or PermissionDenied."""
    source = Source(tenant=tenant, next_hop=next_hop, product=product, domains=list(domains))
    return changes.save(fill(source, inventory, name=name), actor=actor, reason="moving in")


def fill(source: Source, inventory: Inventory, *, name: str) -> Source:
    """Put what was read, and its name, into a source that is not saved yet."""
    source.name, source.counts = name[:200], count(inventory)
    source.inventory = zlib.compress(msgspec.json.encode(inventory))
    return source


def inventory_of(source: Source) -> Inventory:
    """What the source held when it was read; not to be changed by whoever asks."""
    kept = Source.objects.annotate(digest=MD5("inventory"))
    return _unpacked(source.pk, kept.values_list("digest", flat=True).get(pk=source.pk))


def count(inventory: Inventory) -> dict[str, int]:
    """How much of each the source has, in an operator's words."""
    aliases = inventory.aliases.values()
    counts = Counter(
        {
            "domains": len(inventory.domains),
            "mailboxes": len(inventory.mailboxes),
            "aliases": len(inventory.aliases),
            "aliases with an end": sum(each.expires_at is not None for each in aliases),
            "aliases switched off": sum(not each.active for each in aliases),
            "alias domains": len(inventory.alias_domains),
            "catch-alls": len(inventory.catch_alls),
            "send-as": len(inventory.send_as),
        }
    )
    return {name: number for name, number in counts.items() if number}


@lru_cache(maxsize=CACHED)
def _unpacked(pk: int, digest: str) -> Inventory:  # noqa: ARG001 - what was erased is read anew
    packed = Source.objects.values_list("inventory", flat=True).get(pk=pk)
    return msgspec.json.decode(zlib.decompress(packed), type=Inventory)
