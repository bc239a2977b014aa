"""The steps of a trace as sentences, for whoever does not know how an address is resolved."""

from gateway.routing.decision import Step

# By name and outcome; what a step notes stands beside its sentence.
SENTENCES = {
    ("system size", "refused"): "The declared size is over what the whole installation takes.",
    ("address", "hit"): "This is the installation's own postmaster, who is always reachable.",
    ("return path", "hit"): "A bounce on its way back to who sent the message that was forwarded.",
    ("return path", "no match"): "No forward of ours has this return path.",
    ("return path", "refused"): "A return path of ours, but it does not hold.",
    ("domain", "hit"): "The domain is verified here, so its mail is ours.",
    ("domain", "no match"): "No verified domain of that name: taking its mail would be relaying.",
    ("allow-policy", "passed"): "The domain allows such a local part in its environment.",
    ("allow-policy", "refused"): "The domain does not allow such a local part or environment.",
    ("alias", "hit"): "An alias is called exactly so.",
    ("alias", "no match"): "No alias is called exactly so.",
    ("alias", "passed over"): "The alias is off; postmaster and abuse answer all the same.",
    ("role address", "hit"): "A role address (RFC 2142) answers.",
    ("role address", "no match"): "No role address of that name, and none that every domain has.",
    ("subaddress", "hit"): "What stands before the delimiter is an address; the rest is a detail.",
    ("subaddress", "no match"): "It is no detail of an address either.",
    ("subaddress rule", "no match"): "No rule for the detail: the address's own targets take it.",
    ("subaddress rule", "deliver"): "A rule for the detail lets it through.",
    ("subaddress rule", "refuse"): "A rule for the detail refuses it.",
    ("subaddress rule", "retarget"): "A rule for the detail sends it elsewhere.",
    ("unknown", "refused"): "Nothing answers to this address.",
    ("policies", "exempt"): "postmaster and abuse are held to no limit.",
    ("tenant", "passed"): "The tenant is active.",
    ("tenant", "refused"): "The tenant's state stops its mail.",
    ("enabled, not expired", "passed"): "The address is switched on and its time is not over.",
    ("enabled, not expired", "refused"): "The address is switched off, or its time is over.",
    ("sender", "passed"): "The address takes mail from this sender.",
    ("sender", "refused"): "The sender is not on the list of those who may write.",
    ("size", "passed"): "The declared size is within the address's and the tenant's limit.",
    ("size", "refused"): "The declared size is over the address's or the tenant's limit.",
    ("rate", "passed"): "The address has not had its messages of this hour yet.",
    ("rate", "refused"): "The address has had its messages of this hour.",
    ("quota", "passed"): "The tenant is within its messages an hour and its storage.",
    ("quota", "refused"): "The tenant has used up its messages of this hour, or its storage.",
    ("sender authentication", "checked at DATA"): "Judged once the whole message is there.",
    ("content filter", "checked at DATA"): "The content filter looks at the whole message.",
    ("targets", "refused"): "The address has no target.",
    ("targets", "passed over"): "postmaster and abuse answer all the same: the holder gets it.",
    ("target", "mailbox"): "Goes to a mailbox.",
    ("target", "forward"): "Goes on to another address.",
    ("target", "inbox"): "Is kept in a stored inbox.",
    ("target", "discard"): "Is taken and thrown away.",
    ("target", "cut"): "Not followed: a loop, or too far or too wide.",
    ("environment", "refused"): "Domains of different environments never forward to each other.",
    ("reply", "accepted"): "This is what the sender is told.",
    ("reply", "refused"): "This is what the sender is told.",
    ("call-ahead", "to be asked"): "The next hop is asked whether it has this mailbox.",
    ("call-ahead", "exists"): "The next hop takes mail for this mailbox.",
    ("call-ahead", "gone"): "The next hop does not have this mailbox.",
    ("call-ahead", "unknown"): "The next hop did not say; the mail is taken.",
    ("SMTPUTF8", "refused"): "A next hop of it takes no internationalised mail.",
    ("call-ahead", "refused"): "Every place that the message could go to is gone.",
}


def in_words(step: Step) -> str:
    """The sentence; empty where the step says it itself."""
    return SENTENCES.get((step.name, step.outcome), "")
