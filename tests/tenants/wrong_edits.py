"""Edits that a rule of the control plane refuses, each with the field and the sentence.

One line of truth for all surfaces: a test drives the models from this table, and admin, portal
and API are to be driven from the same one. `values` are what a form would hold, with rows where
the form names a related one; `edits` makes the row that is changed, and is None for a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from tenants.models import (
    Alias,
    Domain,
    Mailbox,
    Membership,
    NextHop,
    RoleAddress,
    SendAsIdentity,
    SubaddressRule,
    Target,
    Tenant,
)
from tests import world as make
from tests.world import World, to_forward


@dataclass(frozen=True, slots=True)
class WrongEdit:
    """What is typed, and what is answered: exactly one sentence at one field."""

    name: str
    model: type[Model]
    values: Callable[[World], dict[str, Any]]
    field: str
    sentence: str
    edits: Callable[[World], Model] | None = None


def new(name: str, model: type[Model], values: Any, field: str, sentence: str) -> WrongEdit:
    return WrongEdit(name, model, values, field, sentence)


def change(name: str, row: Any, values: Any, field: str, sentence: str) -> WrongEdit:
    return WrongEdit(name, Model, values, field, sentence, edits=row)


def alias(w: World, local_part: str = "x", **fields: Any) -> dict[str, Any]:
    return {"domain": w.domain, "local_part": local_part} | fields


def target(w: World, local_part: str = "x", **fields: Any) -> dict[str, Any]:
    return {"address": make.make_alias(w.domain, local_part)} | fields


def forward(w: World, to: str, local_part: str = "x") -> dict[str, Any]:
    return target(w, local_part, kind="forward", forward_to=to)


def identity(w: World, address: str, **fields: Any) -> dict[str, Any]:
    return {"mailbox": make.make_mailbox(w.a), "address": address} | fields


def full_rule(w: World) -> SubaddressRule:
    """A rule with as many targets as there may be."""
    rule = make.make_rule(
        make.make_alias(w.domain, "x"), "z", SubaddressRule.Action.RETARGET, make.to_inbox()
    )
    Target.objects.bulk_create(Target(rule=rule, kind="inbox") for _ in range(99))
    return rule


def after(*rows: Any, then: dict[str, Any]) -> dict[str, Any]:
    """The values, once these rows are made."""
    return then


def at_limit(w: World, **limits: int) -> Tenant:
    return make.make_tenant(plan=make.make_plan(**limits))


def hop(tenant: Tenant | None, **fields: Any) -> dict[str, Any]:
    return {"tenant": tenant, "name": "s", "host": "s.example", "port": 25} | fields


def box(w: World, address: str, **fields: Any) -> dict[str, Any]:
    next_hop = fields.pop("next_hop", None) or make.make_hop(w.a)
    return {"tenant": w.a, "address": address, "next_hop": next_hop} | fields


def second_rule(w: World) -> dict[str, Any]:
    address = make.make_alias(w.domain, "x")
    make.make_rule(address, "spam", SubaddressRule.Action.REFUSE)
    return {"address": address, "detail": "SPAM"}


def refusing(w: World, local_part: str, detail: str) -> SubaddressRule:
    address = make.make_alias(w.domain, local_part)
    return make.make_rule(address, detail, SubaddressRule.Action.REFUSE)


def circle(w: World, first: str, second: str, third: str) -> dict[str, Any]:
    """second → third → first, and about to be closed."""
    start = make.make_alias(w.domain, first)
    make.make_alias(w.domain, third, to_forward(start.key))
    make.make_alias(w.domain, second, to_forward(f"{third}@a.example"))
    return {"address": start, "kind": "forward", "forward_to": f"{second}@a.example"}


def circle_by_rule(w: World) -> dict[str, Any]:
    start = make.make_alias(w.domain, "x")
    other = make.make_alias(w.domain, "y")
    make.make_rule(other, "z", SubaddressRule.Action.RETARGET, to_forward(start.key))
    return {"address": start, "kind": "forward", "forward_to": "y+z@a.example"}


def dead_chain(w: World) -> None:
    last = make.make_alias(w.domain, "z")
    make.make_alias(w.domain, "y", to_forward(last.key))
    last.enabled = False
    make.save(last)


def make_chain(w: World, length: int) -> None:
    """0 → 1 → … → length - 1, which stores."""
    make.make_alias(w.domain, str(length - 1))
    for number in reversed(range(length - 1)):
        make.make_alias(w.domain, str(number), to_forward(f"{number + 1}@a.example"))


def foreign_circle(w: World) -> dict[str, Any]:
    start = make.make_alias(w.domain, "x", accepts_forwards_from=["b.example"])
    make.make_alias(w.other_domain, "secret", to_forward(start.key))
    make.make_alias(
        w.other_domain, "y", to_forward("secret@b.example"), accepts_forwards_from=["a.example"]
    )
    return {"address": start, "kind": "forward", "forward_to": "y@b.example"}


def other_environment(w: World) -> dict[str, Any]:
    staging = make.make_domain(w.a, "staging.example", environment="staging")
    make.make_alias(staging, "y")
    return forward(w, "y@staging.example")


SYNTAX = "The local part holds a character that is not allowed there. Write it as name@example.com."
NOT_AGREED = (
    "y@b.example has not agreed to take forwards from a.example; ask its owner to accept them."
)
SEND_AS = (
    "A mailbox may send as an address that delivers to it, or as one on a verified domain of its "
    "tenant when an owner grants it."
)

DOMAINS = [
    new("no dot", Domain, lambda w: {"tenant": w.a, "name": "localhost"},
        "name", "Write the whole domain, for example example.com."),
    new("no host name", Domain, lambda w: {"tenant": w.a, "name": "a_b.example"},
        "name", "The domain is not a valid host name. Write it as example.com."),
    new("an address literal", Domain, lambda w: {"tenant": w.a, "name": "[192.0.2.1]"},
        "name", "Write the whole domain, for example example.com."),
    new("claimed already", Domain, lambda w: {"tenant": w.a, "name": "A.Example."},
        "name", "The tenant has claimed this domain already."),
    new("verified by another", Domain,
        lambda w: {"tenant": w.b, "name": "a.example", "state": Domain.State.ACTIVE},
        "name", "Another claim of this domain is verified already."),
    new("the bounce domain", Domain, lambda w: {"tenant": w.a, "name": "bounce.localhost"},
        "name", "The installation uses this domain for bounces."),
    new("too many", Domain,
        lambda w: {"tenant": at_limit(w, max_domains=0), "name": "new.example"},
        "tenant", "The tenant's plan allows 0 domains."),
    new("environment", Domain,
        lambda w: {"tenant": w.a, "name": "n.example", "environment": "Pre Prod"},
        "environment", "Use lower-case letters, digits and dashes."),
    change("delimiters", lambda w: w.domain, lambda w: {"delimiters": "+."},
           "delimiters", "Choose delimiters out of +-=_, each once."),
    change("pattern", lambda w: w.domain, lambda w: {"local_part_pattern": "(a"},
           "local_part_pattern", "This is not a valid RE2 pattern: missing ): (a."),
    change("renamed", lambda w: w.domain, lambda w: {"name": "n.example"},
           "name", "A domain keeps its name; claim the other one anew."),
    change("given away", lambda w: w.domain, lambda w: {"tenant": w.b},
           "tenant", "A domain keeps its tenant; release it and claim anew."),
    change("back from release",
           lambda w: make.make_domain(w.a, state=Domain.State.RELEASED),
           lambda w: {"state": Domain.State.ACTIVE},
           "state", "A released domain stays so; claim it anew."),
    change("role holder of another tenant", lambda w: w.domain,
           lambda w: {"default_role_holder": make.make_mailbox(w.b)},
           "default_role_holder", "Choose a mailbox of the same tenant."),
    change("smarthost of another tenant", lambda w: w.domain,
           lambda w: {"smarthost": make.make_hop(w.b)},
           "smarthost", "Choose a next hop of the same tenant."),
]  # fmt: skip

ADDRESSES = [
    new("exists already", Alias,
        lambda w: after(make.make_alias(w.domain, "x"), then=alias(w, "X")),
        "local_part", "This address exists already on the domain."),
    new("exists as role address", Alias,
        lambda w: after(make.make_role(w.domain, "sales"), then=alias(w, "Sales")),
        "local_part", "This address exists already on the domain."),
    new("syntax", Alias, lambda w: alias(w, "a b"), "local_part", SYNTAX),
    new("an at sign", Alias, lambda w: alias(w, "x@y"), "local_part", SYNTAX),
    new("too long", Alias, lambda w: alias(w, "x" * 65), "local_part",
        "Ensure this value has at most 64 characters (it has 65)."),
    new("spaces", Alias, lambda w: alias(w, "  "), "local_part",
        "An address has the form local-part@domain. Write it as name@example.com."),
    new("empty", Alias, lambda w: alias(w, ""), "local_part", "This field cannot be blank."),
    new("too many", Alias,
        lambda w: alias(w, domain=make.make_domain(at_limit(w, max_addresses=0))),
        "domain", "The tenant's plan allows 0 addresses."),
    new("released domain", Alias,
        lambda w: alias(w, domain=make.make_domain(w.a, state=Domain.State.RELEASED)),
        "domain", "The domain has been released."),
    new("sender", Alias, lambda w: alias(w, allowed_senders=["far.example"]),
        "allowed_senders",
        "“far.example” is no sender: write name@example.com, @example.com or <>."),
    new("authors without a list", Alias, lambda w: alias(w, sender_match="author"),
        "sender_match", "List the authors who may write, or let the list be about the envelope."),
    new("signer without a name", Alias, lambda w: alias(w, authentication="signer"),
        "signing_domain", "Name the domain that has to sign."),
    new("signer that nobody asks for", Alias, lambda w: alias(w, signing_domain="b.example"),
        "signing_domain",
        "Only “DKIM of one domain” takes a signing domain: choose it, or clear this."),
    new("signer that is no domain", Alias,
        lambda w: alias(w, authentication="signer", signing_domain="x@b.example"),
        "signing_domain", "The domain is not a valid host name. Write it as example.com."),
    new("forwards from", Alias, lambda w: alias(w, accepts_forwards_from=["x@far.example"]),
        "accepts_forwards_from",
        "The domain is not a valid host name. Write it as example.com."),
    new("owner of another tenant", Alias, lambda w: alias(w, owner=w.outsider),
        "owner", "The owner has to be a member of the tenant: make them one, or choose another."),
    new("alias with a holder", Alias, lambda w: alias(w, holder=make.make_mailbox(w.a)),
        "holder", "Only a role address has a holder."),
    change("moved", lambda w: make.make_alias(w.domain, "x"),
           lambda w: {"domain": make.make_domain(w.a)},
           "domain", "An address keeps its domain; make a new one there."),
    new("no role", RoleAddress, lambda w: alias(w, "anna"),
        "local_part",
        "A role address is one of: abuse, billing, ftp, hostmaster, info, marketing, news, noc, "
        "noreply, postmaster, sales, security, support, usenet, uucp, webmaster, www."),
    new("role held by another tenant", RoleAddress,
        lambda w: alias(w, "sales", holder=make.make_mailbox(w.b)),
        "holder", "Choose a mailbox of the same tenant."),
    new("line break", SubaddressRule,
        lambda w: {"address": make.make_alias(w.domain, "x"), "detail": "a\nroot@a.example b"},
        "detail", "Take out line breaks and other control characters."),
    new("second rule", SubaddressRule, second_rule,
        "detail", "The address has a rule for this detail already."),
]  # fmt: skip

TARGETS = [
    new("no address", Target, lambda w: {"kind": "inbox"},
        "address", "A target belongs to an address or to a subaddress rule."),
    new("a hundred targets", Target, lambda w: {"rule": full_rule(w), "kind": "inbox"},
        "kind", "100 targets are the most: a shared mailbox or a mailing list reaches more."),
    new("unknown kind", Target, lambda w: target(w, kind="fax"),
        "kind", "Value 'fax' is not a valid choice."),
    new("no mailbox", Target, lambda w: target(w, kind="mailbox"),
        "mailbox", "A target of kind mailbox needs this."),
    new("no forward", Target, lambda w: target(w, kind="forward"),
        "forward_to", "A target of kind forward needs this."),
    new("mailbox of another tenant", Target,
        lambda w: target(w, kind="mailbox", mailbox=make.make_mailbox(w.b)),
        "mailbox", "Choose a mailbox of the same tenant."),
    new("forward to no address", Target, lambda w: forward(w, "anna"),
        "forward_to",
        "An address has the form local-part@domain. Write it as name@example.com."),
]  # fmt: skip

GRAPH = [
    new("to itself", Target, lambda w: forward(w, "X@A.example"),
        "forward_to", "x@a.example → x@a.example: this is a loop."),
    new("to its own detail", Target, lambda w: forward(w, "x+y@a.example"),
        "forward_to", "x@a.example → x+y@a.example: this is a loop."),
    new("round", Target, lambda w: circle(w, "x", "y", "z"),
        "forward_to", "x@a.example → y@a.example → z@a.example → x@a.example: this is a loop."),
    new("round by a detail's rule", Target, circle_by_rule,
        "forward_to", "x@a.example → y+z@a.example → x@a.example: this is a loop."),
    new("dead end", Target, lambda w: forward(w, "nobody@a.example"),
        "forward_to", "x@a.example → nobody@a.example: nothing receives there."),
    new("disabled", Target,
        lambda w: after(
            make.make_alias(w.domain, "y", enabled=False), then=forward(w, "y@a.example")),
        "forward_to", "x@a.example → y@a.example: nothing receives there."),
    new("without targets", Target,
        lambda w: after(make.save(Alias(**alias(w, "y"))), then=forward(w, "y@a.example")),
        "forward_to", "x@a.example → y@a.example: nothing receives there."),
    new("refused detail", Target,
        lambda w: after(refusing(w, "y", "z"), then=forward(w, "y+z@a.example")),
        "forward_to", "x@a.example → y+z@a.example: nothing receives there."),
    new("dead end further on", Target,
        lambda w: after(dead_chain(w), then=forward(w, "y@a.example")),
        "forward_to", "x@a.example → y@a.example → z@a.example: nothing receives there."),
    new("eleven in a row", Target,
        lambda w: after(make_chain(w, 11), then=forward(w, "0@a.example")),
        "forward_to",
        "x@a.example → " + " → ".join(f"{n}@a.example" for n in range(11))
        + ": more than 10 forwards in a row."),
    new("another tenant", Target,
        lambda w: after(make.make_alias(w.other_domain, "y"), then=forward(w, "y@b.example")),
        "forward_to", NOT_AGREED),
    new("another tenant, unknown", Target, lambda w: forward(w, "y@b.example"),
        "forward_to", NOT_AGREED),
    new("round by another tenant, whose ways are not told", Target, foreign_circle,
        "forward_to", "x@a.example → y@b.example → … → x@a.example: this is a loop."),
    new("another environment", Target, other_environment,
        "forward_to",
        "y@staging.example is in environment staging, this address in production; "
        "they never forward to each other."),
]  # fmt: skip

OTHERS = [
    new("external id", Tenant,
        lambda w: {"external_id": "a b", "name": "X", "plan": w.a.plan},
        "external_id", "Use letters, digits, dot, dash, colon, _."),
    new("external id taken", Tenant,
        lambda w: {"external_id": w.a.external_id, "name": "X", "plan": w.a.plan},
        "external_id", "Tenant with this External id already exists."),
    new("member twice", Membership, lambda w: {"tenant": w.a, "user": w.owner},
        "user", "This user is a member of the tenant already."),
    change("membership moved", lambda w: w.a.memberships.get(user=w.owner),
           lambda w: {"tenant": w.b},
           "tenant", "A membership keeps its tenant; make a new one there."),
    new("hop named twice", NextHop,
        lambda w: after(make.make_hop(w.a, name="s"), then=hop(w.a)),
        "name", "A next hop of this name exists already."),
    new("everyone's hop named twice", NextHop,
        lambda w: after(make.make_hop(name="s"), then=hop(None)),
        "name", "A next hop of this name exists already."),
    new("port", NextHop, lambda w: hop(w.a, port=0),
        "port", "Ensure this value is greater than or equal to 1."),
    change("hop given away", lambda w: make.make_hop(w.a), lambda w: {"tenant": w.b},
           "tenant", "A next hop keeps its tenant; make a new one there."),
    new("mailbox twice", Mailbox,
        lambda w: after(make.make_mailbox(w.a, "m@s.example"), then=box(w, "M@s.example")),
        "address", "The tenant has this mailbox already."),
    new("mailbox without domain", Mailbox, lambda w: box(w, "m"),
        "address", "An address has the form local-part@domain. Write it as name@example.com."),
    new("mailbox at another tenant's hop", Mailbox,
        lambda w: box(w, "m@s.example", next_hop=make.make_hop(w.b)),
        "next_hop", "Choose a next hop of the same tenant."),
    change("mailbox given away", lambda w: make.make_mailbox(w.a), lambda w: {"tenant": w.b},
           "tenant", "A mailbox keeps its tenant; make a new one there."),
    new("send as what does not deliver", SendAsIdentity,
        lambda w: after(make.make_alias(w.domain, "x"), then=identity(w, "x@a.example")),
        "address", SEND_AS),
    new("send as another tenant", SendAsIdentity,
        lambda w: identity(w, "x@b.example", granted_by=w.owner), "address", SEND_AS),
    new("send as granted by a viewer", SendAsIdentity,
        lambda w: identity(w, "x@a.example", granted_by=w.member), "address", SEND_AS),
]  # fmt: skip

WRONG_EDITS = [*DOMAINS, *ADDRESSES, *TARGETS, *GRAPH, *OTHERS]
