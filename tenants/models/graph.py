"""The alias graph: a forward to an address hosted here is an edge.

Cycles, dead ends and edges into another tenant without its consent are refused at save, with the
path in the sentence. resolve() cuts at run time what later edits could still make of it.
"""

from dataclasses import dataclass, field

from django.core.exceptions import ValidationError

from gateway.routing.address import Address as ParsedAddress
from gateway.routing.facts import RuleAction
from gateway.routing.resolve import EXEMPT_ROLES, MAX_DEPTH
from tenants.models.address import Address, SubaddressRule
from tenants.models.domain import Domain

Node = tuple[str, str | None]  # an address's key, and the detail whose rule has targets of its own


@dataclass(frozen=True, slots=True)
class Spot:
    """An address on the way: the row that receives there, and the rule for its detail."""

    address: ParsedAddress
    domain: Domain
    row: Address | None
    rule: SubaddressRule | None

    @property
    def node(self) -> Node:
        is_own = self.rule is not None and self.rule.action == RuleAction.RETARGET
        row_key = self.row.key if self.row else self.address.key
        return row_key, self.rule.detail if self.rule and is_own else None

    @property
    def is_off(self) -> bool:
        """Whether it takes no mail for now: whoever switches it on may find no loop there."""
        is_role = self.address.folded_local_part in EXEMPT_ROLES
        row = self.row
        return row is not None and not is_role and not (row.enabled and not row.is_expired)

    def targets(self) -> list[tuple[str, str]]:
        """Kind and key of each place in order, as if it were on; none where nothing receives."""
        held = [("holder", "")]
        is_role = self.address.folded_local_part in EXEMPT_ROLES
        if self.row is None or (is_role and not (self.row.enabled and not self.row.is_expired)):
            return held if is_role else []
        if self.rule is not None and self.rule.action == RuleAction.REFUSE:
            return []
        if self.rule is not None and self.rule.action == RuleAction.RETARGET:
            return list(self.rule.targets.values_list("kind", "forward_key"))
        own = list(self.row.targets.values_list("kind", "forward_key"))
        return own or (held if self.row.kind == Address.Kind.ROLE else [])


@dataclass(slots=True)
class Search:
    """One walk through the graph from a forward that is about to be saved."""

    origin: Address
    start: Node
    seen: set[Node] = field(default_factory=set)
    dead: tuple[str, ...] = ()  # the first way that led nowhere


def check_forward(origin: Address, forward_to: ParsedAddress, *, detail: str | None = None) -> None:
    """Follow one forward of `origin` (of its rule for `detail`) through all addresses hosted here.

    Raises ValidationError on `forward_to`. Cost: three or four queries per address on the way.
    """
    start = f"{origin.key} detail {detail}" if detail is not None else origin.key
    spot = find_spot(forward_to)
    if spot is None:
        return
    _check_consent(origin, spot)
    _check_environment(origin, spot)
    search = Search(origin, (origin.key, detail))
    if not _reaches(search, spot, (start, spot.address.key)):
        _refuse(search.dead, "nothing receives there")


def find_spot(address: ParsedAddress) -> Spot | None:
    """What is hosted here under an address; None where its domain is not verified here."""
    domain = Domain.objects.receiving().filter(name=address.domain).first()
    if domain is None:
        return None
    split = address.subaddress(domain.delimiters)
    keys = [address.key, *([split.base_key] if split else [])]
    rows = {row.key: row for row in Address.objects.filter(domain=domain, key__in=keys)}
    row = next((rows[key] for key in keys if key in rows), None)
    is_base = row is not None and split is not None and row.key != address.key
    rule = row.rules.filter(detail=split.detail).first() if row and split and is_base else None
    return Spot(address, domain, row, rule)


def _reaches(search: Search, spot: Spot, path: tuple[str, ...]) -> bool:
    """Whether mail for this spot ends anywhere. Raises ValidationError for a loop."""
    if spot.node == search.start:
        _refuse(path, "this is a loop")
    if len(path) - 1 > MAX_DEPTH:
        _refuse(path, f"more than {MAX_DEPTH} forwards in a row")
    if spot.node in search.seen:
        return True
    search.seen.add(spot.node)
    # All are followed: that one reaches something does not make another's loop right.
    reached = [_target_reaches(search, *target, path) for target in spot.targets()]
    if spot.is_off or not reached:
        search.dead = search.dead or path
    return any(reached) and not spot.is_off


def _target_reaches(search: Search, kind: str, key: str, path: tuple[str, ...]) -> bool:
    spot = find_spot(ParsedAddress.of_key(key)) if kind == "forward" else None
    if spot is None:
        return True
    is_own = spot.domain.tenant_id == search.origin.domain.tenant_id
    return _reaches(search, spot, (*path, key if is_own else "…"))


def _check_consent(origin: Address, spot: Spot) -> None:
    """Another tenant's address takes forwards only where it says so; existence is not told."""
    if spot.domain.tenant_id == origin.domain.tenant_id:
        return
    if spot.row is None or origin.domain.name not in spot.row.accepts_forwards_from:
        raise ValidationError(
            {
                "forward_to": f"{spot.address} has not agreed to take forwards from "
                f"{origin.domain.name}; ask its owner to accept them."
            }
        )


def _check_environment(origin: Address, spot: Spot) -> None:
    if spot.domain.environment != origin.domain.environment:
        raise ValidationError(
            {
                "forward_to": f"{spot.address} is in environment {spot.domain.environment}, this "
                f"address in {origin.domain.environment}; they never forward to each other."
            }
        )


def _refuse(path: tuple[str, ...], why: str) -> None:
    raise ValidationError({"forward_to": f"{' → '.join(path)}: {why}."})
