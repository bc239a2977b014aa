"""The alias graph: a forward to an address hosted here is an edge.

Cycles, dead ends and edges into another tenant without its consent are refused at save, with the
path in the sentence. resolve() cuts at run time what two simultaneous saves could still make.
"""

from django.core.exceptions import ValidationError

from gateway.routing.address import Address as ParsedAddress
from gateway.routing.resolve import EXEMPT_ROLES, MAX_DEPTH
from tenants.models.address import Address
from tenants.models.domain import Domain


def check_forward(origin: Address, forward_to: ParsedAddress) -> None:
    """Follow one forward of `origin` through every address hosted here.

    Raises ValidationError on `forward_to`. Cost: two or three queries per hop.
    """
    _follow(origin, forward_to, (origin.key,))


def find_hosted(domain: Domain, address: ParsedAddress) -> Address | None:
    """The row that would receive: the exact address, else the base of a subaddress."""
    keys = [address.key]
    if split := address.subaddress(domain.delimiters):
        keys.append(split.base_key)
    rows = {row.key: row for row in Address.objects.filter(domain=domain, key__in=keys)}
    return next((rows[key] for key in keys if key in rows), None)


def _follow(origin: Address, address: ParsedAddress, path: tuple[str, ...]) -> None:
    domain = Domain.objects.receiving().filter(name=address.domain).first()
    if domain is None:
        return
    path = (*path, address.key)
    row = find_hosted(domain, address)
    _check_consent(origin, domain, row, address)
    _check_environment(origin, domain, address)
    if row is None and address.folded_local_part in EXEMPT_ROLES:
        return
    if row is None or not row.enabled or row.is_expired:
        _refuse(path, "nothing receives there")
    if row == origin or row.key in path[:-1]:
        _refuse(path, "this is a loop")
    if len(path) > MAX_DEPTH:
        _refuse(path, f"more than {MAX_DEPTH} forwards in a row")
    for forward_key in row.targets.filter(kind="forward").values_list("forward_key", flat=True):
        _follow(origin, ParsedAddress.parse(forward_key), path)


def _check_consent(
    origin: Address, domain: Domain, row: Address | None, address: ParsedAddress
) -> None:
    """Another tenant's address takes forwards only where it says so; existence is not told."""
    if domain.tenant_id == origin.domain.tenant_id:
        return
    if row is None or origin.domain.name not in row.accepts_forwards_from:
        raise ValidationError(
            {
                "forward_to": f"{address} has not agreed to take forwards from "
                f"{origin.domain.name}; ask its owner to accept them."
            }
        )


def _check_environment(origin: Address, domain: Domain, address: ParsedAddress) -> None:
    if domain.environment != origin.domain.environment:
        raise ValidationError(
            {
                "forward_to": f"{address} is in environment {domain.environment}, this address in "
                f"{origin.domain.environment}; they never forward to each other."
            }
        )


def _refuse(path: tuple[str, ...], why: str) -> None:
    raise ValidationError({"forward_to": f"{' → '.join(path)}: {why}."})
