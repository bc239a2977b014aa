"""The whole answer to a question, put together."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Lower

from gateway.search import past
from gateway.search.address import AddressAnswer, find_address
from gateway.search.mail import Trail, find_trails, recipients_beginning
from gateway.search.past import Gone
from gateway.search.question import Question
from gateway.search.sight import Sight
from tenants.models import Address, Domain, Mailbox, Tenant
from tenants.querysets import begins, by_code_point

MOST = 20
# Fewer letters are the beginning of half of everything.
SHORTEST = 2


@dataclass(slots=True)
class Answer:
    """What was found, each list in order and at most MOST long.

    `mailed` are recipients that mail came for lately and that are no address.
    """

    question: Question
    address: AddressAnswer | None = None
    trails: list[Trail] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    mailed: list[str] = field(default_factory=list)
    domains: list[Domain] = field(default_factory=list)
    tenants: list[Tenant] = field(default_factory=list)
    mailboxes: list[Mailbox] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found; one address always has an answer."""
        return (
            self.address is None
            and not (self.trails or self.addresses or self.gone or self.mailed)
            and not (self.domains or self.tenants or self.mailboxes)
        )


def find(question: Question, user: Any) -> Answer:
    """Everything that the text may be about and the user may see."""
    sight, answer = Sight(user), Answer(question)
    if not question.text:
        return answer
    answer.trails = find_trails(question, sight)
    answer.domains = _domains(question, sight)
    answer.tenants = _tenants(question, sight)
    if question.address is not None and not _is_ours(answer):
        found = find_address(question.address, sight)
        answer.address = None if answer.trails and found.is_stranger else found
    if _is_beginning(answer):
        _find_beginning(answer, question.beginning, sight)
    return answer


def _is_ours(answer: Answer) -> bool:
    """Whether the text is a reference of ours, which means nothing else."""
    return any(trail.is_ours for trail in answer.trails)


def _is_beginning(answer: Answer) -> bool:
    """Not where the text has said all of what was meant."""
    is_found = _is_ours(answer) or (answer.address and (answer.address.rows or answer.address.gone))
    return len(answer.question.beginning) >= SHORTEST and not is_found


def _find_beginning(answer: Answer, text: str, sight: Sight) -> None:
    answer.addresses = _first(sight.addresses().filter(begins("key", text)), "key")
    answer.gone = past.deleted_beginning(text, sight)
    answer.mailboxes = _first(sight.rows(Mailbox).filter(begins("key", text)), "key")
    known = {*(row.key for row in answer.addresses), *(gone.key for gone in answer.gone)}
    own = answer.address.address.key if answer.address else ""
    mailed = recipients_beginning(text, sight)
    answer.mailed = [key for key in mailed if key not in known and key != own]


def _domains(question: Question, sight: Sight) -> list[Domain]:
    if len(question.domain) < SHORTEST:
        return []
    rows = sight.rows(Domain).select_related("tenant")
    named = _first(rows.filter(begins("name", question.domain)), "name")
    read = _first(rows.filter(begins("u_label", question.u_label)), "u_label")
    return list({domain.pk: domain for domain in [*named, *read]}.values())[:MOST]


def _tenants(question: Question, sight: Sight) -> list[Tenant]:
    """By the beginning of the name in any case, or of the external id as it is written."""
    if len(question.name) < SHORTEST:
        return []
    rows = sight.rows(Tenant)
    named = _first(rows.filter(begins(Lower("name"), question.name)), Lower("name"))
    marked = rows.filter(external_id__startswith=question.text).order_by("external_id")[:MOST]
    return list({tenant.pk: tenant for tenant in [*named, *marked]}.values())[:MOST]


def _first(rows: QuerySet[Any], column: Any) -> list[Any]:
    return list(rows.order_by(by_code_point(column), "id")[:MOST])
