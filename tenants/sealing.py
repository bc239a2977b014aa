"""Secrets as they stand in the database: sealed by the newest key, opened by whichever fits.

Fernet (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec) under a key that is made from
a setting's words, so that these may be of any length. Without Django.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MARK = "sealed:"  # what is stored without it was never sealed
PURPOSE = b"secrets in the database"


class UnopenedError(ValueError):
    """None of the keys fits."""


def seal(text: str, keys: Sequence[str]) -> str:
    """The text as it is stored, by the first of the keys."""
    return MARK + _box(tuple(keys)).encrypt(text.encode()).decode()


def is_sealed(stored: str) -> bool:
    return stored.startswith(MARK)


def unseal(stored: str, keys: Sequence[str]) -> str:
    """What was sealed by any of the keys. Raises UnopenedError."""
    try:
        return _box(tuple(keys)).decrypt(stored.removeprefix(MARK)).decode()
    except InvalidToken as error:
        raise UnopenedError("None of the keys opens this.") from error


def reseal(stored: str, keys: Sequence[str]) -> str:
    """Sealed anew by the first of the keys, open or not; itself where none of them opens it."""
    try:
        return seal(unseal(stored, keys) if is_sealed(stored) else stored, keys)
    except UnopenedError:
        return stored


@dataclass(frozen=True, slots=True)
class Tally:
    """How many secrets the newest key has sealed anew, and how many no key opens."""

    sealed: int = 0
    left: int = 0

    @classmethod
    def of(cls, stored: str, resealed: str, count: int = 1) -> Self:
        """So many secrets that stood like this, and stand like that now."""
        return cls(left=count) if resealed == stored else cls(sealed=count)

    @classmethod
    def total(cls, tallies: Iterable[Self]) -> Self:
        counted = list(tallies)
        return cls(sum(each.sealed for each in counted), sum(each.left for each in counted))


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_stretched(key)) for key in keys])


def _stretched(key: str) -> bytes:
    derived = HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return base64.urlsafe_b64encode(derived)
