"""A step of a trace as a sentence, for people who have not read resolve().

What is not in the table is told as it was written down, so that no step is ever lost.
"""

from collections.abc import Mapping

# By name and outcome; None stands for every other outcome. {note} is what the step is about.
_SENTENCES: Mapping[tuple[str, str | None], str] = {
    ("system size", "refused"): "The declared size is over the system's {note}.",
    ("address", "hit"): "It is {note}.",
    ("return path", "hit"): "It is a return path of ours: it {note}.",
    ("return path", "no match"): "It is no return path of ours ({note}).",
    ("return path", "refused"): "The return path is not taken: {note}.",
    ("domain", "hit"): "The domain is served here: {note}.",
    ("domain", "no match"): "{note}, so this would be relaying.",
    ("allow-policy", "passed"): "The domain's own policy allows this local part.",
    ("allow-policy", "refused"): "The domain's own policy does not allow the {note}.",
    ("alias", "hit"): "There is an alias of exactly this name: {note}.",
    ("alias", "no match"): "No alias is called {note}.",
    ("alias", "passed over"): "The alias {note}.",
    ("role address", "hit"): "It is the role address {note}.",
    ("role address", "no match"): "No role address is called {note}.",
    ("subaddress", "hit"): "It is a subaddress of {note}.",
    ("subaddress", "no match"): "It is no subaddress of anything here ({note}).",
    (
        "subaddress rule",
        "no match",
    ): "No rule is about the detail {note}, so the base address answers.",
    ("subaddress rule", "deliver"): "A rule lets the detail {note} through.",
    ("subaddress rule", "refuse"): "A rule refuses the detail {note}.",
    ("subaddress rule", "retarget"): "A rule sends the detail {note} to targets of its own.",
    ("unknown", "refused"): "Nothing here is called {note}.",
    ("policies", "exempt"): "{note}, so no policy is asked.",
    ("tenant", "passed"): "The tenant is active.",
    ("enabled, not expired", "passed"): "The address is enabled and not expired.",
    ("sender", "passed"): "The address takes mail from this sender.",
    ("size", "passed"): "The declared size is within the address's limits.",
    ("rate", "passed"): "The address has not had too much mail in the last hour.",
    ("quota", "passed"): "The tenant is within its quotas.",
    (
        "sender authentication",
        "checked at DATA",
    ): "The sender has to prove itself once the message is there: {note}.",
    ("sender authentication", "passed"): "The sender proved what was asked of it: {note}.",
    (
        "sender authentication",
        "held",
    ): "The sender did not prove what was asked, so the mail is held: {note}.",
    (
        "sender authentication",
        "marked",
    ): "The sender did not prove what was asked, so the mail is marked: {note}.",
    ("sender authentication", "refused"): "The sender did not prove what was asked of it: {note}.",
    (
        "content filter",
        "checked at DATA",
    ): "The content filter is asked once the message is there: {note}.",
    ("content filter", "passed"): "The content filter lets it pass: {note}.",
    ("content filter", "held"): "For the content filter's verdict it is held: {note}.",
    ("content filter", "marked"): "For the content filter's verdict it is marked: {note}.",
    ("content filter", "refused"): "For the content filter's verdict it is refused: {note}.",
    ("target", "mailbox"): "It goes to the mailbox {note}.",
    ("target", "forward"): "It is forwarded: {note}.",
    ("target", "inbox"): "It is kept in the stored inbox.",
    ("target", "discard"): "It is discarded.",
    (
        "target",
        "cut",
    ): "This way is not followed, since it leads in a circle, too far or too wide: {note}.",
    ("targets", "refused"): "The address has no target.",
    ("targets", "passed over"): "A target would refuse it or make it wait, but {note}.",
    ("environment", "refused"): "The forward would lead to another environment: {note}.",
    ("call-ahead", "to be asked"): "Its next hop would be asked about the mailbox: {note}.",
    ("call-ahead", "refused"): "Each next hop says that the mailbox is gone: {note}.",
    ("SMTPUTF8", "refused"): "A next hop does not take internationalised mail: {note}.",
    ("call-ahead", None): "Asked about the mailbox, its next hop says “{outcome}”: {note}.",
    ("message", "refused"): "The whole message is refused: {note}.",
    ("reply", "accepted"): "So the gateway accepts: {note}.",
    ("reply", "refused"): "So the gateway refuses: {note}.",
    ("null MX", None): "The sender's domain says that it takes no mail (null MX): {note}.",
    ("SPF", None): "SPF: {outcome} ({note}).",
    ("DKIM", None): "DKIM: {outcome} ({note}).",
    ("DMARC", None): "DMARC: {outcome} ({note}).",
}
_REFUSED = "Refused by {name}: {note}."


def tell(name: str, outcome: str, note: str) -> str:
    """One step in a sentence."""
    told = _SENTENCES.get((name, outcome)) or _SENTENCES.get((name, None))
    if told is None and outcome == "refused":
        told = _REFUSED
    if told is None:
        return f"{name}: {outcome}" + (f" ({note})" if note else "")
    said = told.format(name=name, outcome=outcome, note=note)
    return said if note else said.replace(" ()", "").replace(": .", ".")
