"""Names that people cannot tell apart: skeletons and scripts as in Unicode TR39 (UTS #39 §4, §5).

Two names are confusable where their skeletons are equal. The tables are those of Unicode 15.1; they
are large, and only read where a domain is claimed.
"""

import unicodedata
from functools import lru_cache

# UTS #39 §5.2, highly restrictive: what may stand in one label besides letters of one script.
TOGETHER = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
OF_NO_SCRIPT = frozenset({"COMMON", "INHERITED"})
_MARKS = "\u200e"  # around what is written from right to left


def skeleton(name: str) -> str:
    """What a name looks like: the same for all that it may be taken for (UTS #39 §4)."""
    look = "".join(map(_prototype, unicodedata.normalize("NFD", name)))
    return unicodedata.normalize("NFD", look)


def mixed_scripts(label: str) -> list[str]:
    """The scripts of a label that do not go together, in order; none where they do."""
    from confusable_homoglyphs.categories import unique_aliases

    scripts = unique_aliases(label) - OF_NO_SCRIPT
    is_fit = len(scripts) < 2 or any(scripts <= fit for fit in TOGETHER)
    return [] if is_fit else sorted(script.capitalize() for script in scripts)


@lru_cache(maxsize=1024)
def _prototype(character: str) -> str:
    """What stands for all that look like a character.

    The table names source and prototype at each other. Who has several partners is a prototype; of
    two that have only each other one stands for both.
    """
    from confusable_homoglyphs.confusables import confusables_data as table

    partners = table.get(character, ())
    if len(partners) != 1:
        return character
    partner = str(partners[0]["c"])
    look = partner.strip(_MARKS)
    has_others = len(table.get(partner, ())) > 1
    return look if has_others or len(look) > 1 else min(character, look)
