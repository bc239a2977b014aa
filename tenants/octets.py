"""Sizes as people type and read them: "25 MB", "1.5 GiB", "10000".

MB is decimal wherever this product says it; binary units are spelled MiB. Stored are octets.
"""

import re
from fractions import Fraction

UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
LARGEST = 2**63 - 1
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)\Z")


def parse_octets(text: str) -> int:
    """The octets that a size names, a number without unit being octets.

    Raises ValueError with a sentence for whoever typed it.
    """
    match = _SIZE.match(text.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise ValueError("Write a size as 25 MB, 500 kB, 10 MiB or in octets.")
    octets = Fraction(match[1]) * unit
    if octets.denominator != 1:
        raise ValueError("This is not a whole number of octets.")
    if octets > LARGEST:
        raise ValueError("This is more than can be stored.")
    return int(octets)


def print_octets(octets: int) -> str:
    """A size that parses back to the same octets: in a decimal unit where that is exact."""
    for unit in ("TB", "GB", "MB", "kB"):
        size = UNITS[unit.upper()]
        if octets and octets % (size // 10) == 0 and octets >= size:
            whole, tenth = divmod(octets * 10 // size, 10)
            return f"{whole}.{tenth} {unit}" if tenth else f"{whole} {unit}"
    return f"{octets} B"


def print_about(octets: int) -> str:
    """A size to be read, not to be parsed back: in the largest unit, to one decimal."""
    for unit in ("TB", "GB", "MB", "kB"):
        size = UNITS[unit.upper()]
        if octets >= size:
            return f"{octets / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{octets} B"
