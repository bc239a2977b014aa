"""A stranger's words as they may stand in a trace, which is stored for each recipient."""

LONGEST_NOTE = 200  # characters
_UNPRINTABLE = "?"


def as_note(text: str) -> str:
    """The beginning of the text, on one line and without what no terminal or table shows."""
    return "".join(
        character if character.isprintable() else _UNPRINTABLE for character in text[:LONGEST_NOTE]
    )
