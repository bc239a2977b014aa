"""Validators that several models share; each says in its sentence how to mend the value."""

import re2
from django.core.exceptions import ValidationError

from gateway.routing.address import Address, AddressError, parse_domain


def parse_address(text: str, field: str) -> Address:
    """The parsed address; a ValidationError on `field` where it is none."""
    try:
        return Address.parse(text.strip())
    except AddressError as error:
        raise ValidationError({field: f"{error} Write it as name@example.com."}) from None


def normalise_domain(text: str, field: str) -> str:
    """The A-label; a ValidationError on `field` where the text is no domain with a dot in it."""
    try:
        domain = parse_domain(text.strip())
    except AddressError as error:
        raise ValidationError({field: f"{error} Write it as example.com."}) from None
    if "." not in domain or domain.startswith("["):
        raise ValidationError({field: "Write the whole domain, for example example.com."})
    return domain


def validate_pattern(pattern: str) -> None:
    """An RE2 pattern that compiles."""
    try:
        re2.compile(pattern)
    except re2.error as error:
        text = error.args[0] if error.args else ""
        reason = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise ValidationError(f"This is not a valid RE2 pattern: {reason}.") from None


def normalise_sender(text: str) -> str:
    """An allowed sender as it is compared: `<>`, `@a-label` or an address key."""
    entry = text.strip()
    if entry == "<>":
        return entry
    try:
        if entry.startswith("@"):
            return f"@{parse_domain(entry[1:])}"
        return Address.parse(entry).key
    except AddressError:
        raise ValidationError(
            {"allowed_senders": f"“{entry}” is no sender: write name@example.com, @example.com or <>."}
        ) from None
