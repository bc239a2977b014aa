"""Imports as jobs: each row compared with what is there, written, and taken back.

The check writes each row like the job itself will, notes what differs then, and takes it all back;
what a row needs of the same import is written before it, since the check of an earlier chunk left
nothing behind. The job takes the rows that the check found good, where nobody changed what they
are about since.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model

from tenants import changes, permissions
from tenants.belonging import require_bare
from tenants.changes import Actor
from tenants.imports.diff import compare, is_unchanged
from tenants.imports.plan import Held, plan
from tenants.imports.rows import Kind, Refusal, Refused, Row
from tenants.imports.stored import MODELS, find, row_of, values_of
from tenants.imports.values import split_rule
from tenants.imports.writing import refusals_of, write
from tenants.jobs import ledger
from tenants.jobs.ending import told as told_of_end
from tenants.jobs.kind import (
    CHANGED,
    REFUSED,
    UNCHANGED,
    Outcome,
    RefusedError,
    RowByRow,
    Work,
    attempt,
    register,
)
from tenants.models import Address, Domain, Job, JobItem, Tenant

IMPORT, UNDO = "import", "undo import"
NEW, DIFFERENT = "new", "changed"
MEANWHILE = "It was changed since the check: import the file again to see what differs now."
CHANGED_SINCE = "It was changed since the import, so it is left as it is."
GONE = "It is gone already."
Payload = dict[str, Any]


def draft(
    rows: Iterable[Row | Refused],
    *,
    source: str,
    actor: Actor,
    tenant: Tenant | None = None,
    reason: str = "",
    parameters: Payload | None = None,
) -> Job:
    """A job that imports these rows, still to be checked. `source` is what an operator calls it.

    With a tenant, all rows are its own, and those that say another are refused.
    """
    external_id = tenant.external_id if tenant else ""
    planned = plan(_of_tenant(row, external_id) for row in rows)
    job = ledger.draft(
        IMPORT,
        title=f"Import {source}",
        actor=actor,
        permission=permissions.name_of("add", _leading_model(planned)),
        parameters={**(parameters or {}), "source": source, "tenant": external_id},
        reason=reason,
    )
    ledger.list_items(job, _items(planned))
    return job


def _of_tenant(row: Row | Refused, external_id: str) -> Row | Refused:
    if isinstance(row, Refused) or not external_id or row.tenant == external_id:
        return row
    if row.tenant:
        told = f"The row is of tenant “{row.tenant}”, and everything here goes to “{external_id}”."
        return Refused(row.number, (Refusal("tenant", told),), row.name)
    return replace(row, tenant=external_id)


def _leading_model(rows: Iterable[Row | Refused]) -> type[Model]:
    """The model whose permission starts the job; each row asks for its own besides."""
    kinds = [row.kind for row in rows if isinstance(row, Row)]
    return MODELS[max(kinds, key=lambda kind: min(kind.rank, Kind.ALIAS.rank), default=Kind.ALIAS)]


def _items(planned: Sequence[Row | Refused]) -> Iterator[JobItem]:
    rows = {row.ref: row for row in planned if isinstance(row, Row)}
    held = Held(rows)
    places = {ref: place for place, ref in enumerate(rows)}
    for row in planned:
        if isinstance(row, Refused):
            refusals = [asdict(refusal) for refusal in row.refusals]
            yield JobItem(label=row.name, payload={"number": row.number, "refusals": refusals})
            continue
        needed = sorted(held.needed_by(row), key=lambda each: places[each.ref])
        payload = _to_json(row) | {"needed": [_to_json(each) for each in needed]}
        yield JobItem(label=row.name[:320], payload=payload)


def _to_json(row: Row) -> Payload:
    return {
        "number": row.number,
        "kind": row.kind.value,
        "name": row.name,
        "tenant": row.tenant,
        "values": dict(row.values),
    }


def _from_json(payload: Payload) -> Row:
    values = _values(payload["values"])
    kind = Kind(payload["kind"])
    return Row(payload["number"], kind, payload["name"], values, payload["tenant"])


def _values(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
    }


@dataclass(frozen=True)
class Importing(RowByRow):
    """Rows into the control plane."""

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        changes.lock_tenants(_tenants_named(items))
        rows = [_from_json(item.payload) for item in items if "kind" in item.payload]
        needed = _needed(items, rows) if work.is_trial else []
        chunk = _chunk_of([*needed, *rows], work)
        if work.is_trial:
            chunk.beyond.update(_admitted(items[0], chunk.tenants.values()))
        for row in needed:
            chunk.write_needed(row, work)
        return [attempt(chunk, item, work) for item in items]


@dataclass(frozen=True)
class _Chunk(RowByRow):
    """Some rows, and what there is of them; `beyond` counts new rows that earlier chunks had."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    there: dict[str, Any] = field(default_factory=dict)
    beyond: Counter[tuple[str, str]] = field(default_factory=Counter)

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        if refusals := item.payload.get("refusals"):
            raise RefusedError(_sentence([Refusal(**refusal) for refusal in refusals]))
        if not work.is_trial and item.forecast == REFUSED:
            raise RefusedError(item.note)
        row = _from_json(item.payload)
        before = self.before(row)
        if not work.is_trial and item.forecast and before != _before_of(item):
            raise RefusedError(MEANWHILE)
        learnt: Payload = {"before": before}
        if before is not None and is_unchanged(row, before):
            return Outcome(UNCHANGED, learnt=learnt)
        touched, after = self.write(row, before, work)
        differences = compare(row, before, after)
        if before is not None and not differences:
            return Outcome(UNCHANGED, learnt=learnt)
        told = [asdict(difference) for difference in differences]
        verdict = NEW if before is None else DIFFERENT
        learnt |= {"after": after, "differences": told, "verdict": verdict}
        outcome = Outcome(CHANGED, touched=tuple(touched), learnt=learnt)
        is_about_end = any(each.field in ("enabled", "expires_at") for each in differences)
        return told_of_end(outcome, touched[0]) if is_about_end else outcome

    def before(self, row: Row) -> dict[str, Any] | None:
        """What is there; None where nothing is. Raises RefusedError where it is of another kind."""
        stored = self.there.get(row.ref)
        if isinstance(stored, Address) and (stored.kind == Address.Kind.ROLE) != (
            row.kind == Kind.ROLE
        ):
            noun = stored.get_kind_display()
            told = f"{stored} is {'an' if noun[0] == 'a' else 'a'} {noun} here, and stays one."
            raise RefusedError(_sentence([Refusal("type", told)]))
        return None if stored is None else dict(row_of(stored, row.kind).values)

    def write(self, row: Row, before: Any, work: Work) -> tuple[list[Model], dict[str, Any]]:
        """What was saved, and its values then. Raises RefusedError or PermissionDenied."""
        tenant = self._tenant(row)
        permissions.require(work.actor, "add" if before is None else "change", MODELS[row.kind])
        try:
            if work.is_trial and before is None:
                self._require_room(row, tenant)
            touched = write(row, self.there.get(row.ref), tenant=tenant, actor=work.actor)
        except ValidationError as error:
            raise RefusedError(_sentence(refusals_of(error))) from error
        if isinstance(touched[0], Tenant):
            self.tenants[row.name] = touched[0]
        after = values_of(touched[0], row.kind)
        _require_parts(work.actor, before or {}, after)
        return touched, after

    def write_needed(self, row: Row, work: Work) -> None:
        """Write what others need, as far as it can be; what cannot is told with its own row."""
        item = JobItem(payload=_to_json(row))
        attempt(self, item, work)
        self.there.update(find([row], self.tenants))

    def _tenant(self, row: Row) -> Tenant | None:
        if row.tenant and row.kind != Kind.TENANT and row.tenant not in self.tenants:
            told = f"There is no tenant with the external id “{row.tenant}”."
            raise RefusedError(_sentence([Refusal("tenant", told)]))
        return self.tenants.get(row.tenant)

    def _require_room(self, row: Row, tenant: Tenant | None) -> None:
        """New rows of earlier chunks count against the plan, though their check left nothing."""
        beyond = self.beyond[row.tenant, row.kind.group]
        if tenant is None or not beyond:
            return
        what = "domains" if row.kind == Kind.DOMAIN else "addresses"
        if told := tenant.beyond_plan(what, _held(row.kind, tenant) + beyond):
            raise RefusedError(_sentence([Refusal("tenant", told)]))


def _require_parts(actor: Actor, before: Payload, after: Payload) -> None:
    """What targets and rules of an address take by hand, where these become others."""
    targets, rules = (
        (before.get(name) or (), after.get(name) or ()) for name in ("targets", "rules")
    )
    goes_elsewhere = any(split_rule(rule)[2] for held in rules for rule in held)
    if rules[0] != rules[1]:
        permissions.require_rules(actor)
    if targets[0] != targets[1] or (rules[0] != rules[1] and goes_elsewhere):
        permissions.require_targets(actor)


def _tenants_named(items: Iterable[JobItem]) -> set[int]:
    """The tenants that rows are of, and what they need, as far as they are there."""
    payloads = [each for item in items for each in (item.payload, *item.payload.get("needed", ()))]
    named = {payload.get("tenant") for payload in payloads}
    return set(Tenant.objects.filter(external_id__in=named - {None}).values_list("pk", flat=True))


def _chunk_of(rows: Sequence[Row], work: Work) -> _Chunk:
    named = {row.tenant for row in rows}
    known = Tenant.objects.filter(external_id__in=named).select_related("plan")
    visible = known.visible_to(work.actor.user) if work.actor.user else known
    tenants = {tenant.external_id: tenant for tenant in visible}
    return _Chunk("", tenants=tenants, there=find(rows, tenants))


def _needed(items: Sequence[JobItem], rows: Sequence[Row]) -> list[Row]:
    """What the items need and do not bring along, each once, in order."""
    own = {row.ref for row in rows}
    needed: dict[str, Row] = {}
    for item in items:
        for payload in item.payload.get("needed", ()):
            row = _from_json(payload)
            if row.ref not in own:
                needed.setdefault(row.ref, row)
    return list(needed.values())


def _admitted(first: JobItem, tenants: Iterable[Tenant]) -> Counter[tuple[str, str]]:
    """How many new rows the check found before this item, of each tenant with a limit."""
    admitted: Counter[tuple[str, str]] = Counter()
    earlier = JobItem.objects.filter(job=first.job_id, pk__lt=first.pk, payload__verdict=NEW)
    for tenant in tenants:
        for kind, limit in ((Kind.DOMAIN, "max_domains"), (Kind.ALIAS, "max_addresses")):
            if tenant.limit(limit) is not None:
                alike = [each.value for each in Kind if each.group == kind.group]
                rows = earlier.filter(payload__tenant=tenant.external_id, payload__kind__in=alike)
                admitted[tenant.external_id, kind.group] = rows.count()
    return admitted


def _held(kind: Kind, tenant: Tenant) -> int:
    """How many of a tenant's domains or addresses count against its plan."""
    if kind == Kind.DOMAIN:
        return int(Domain.objects.claimed().of_tenant(tenant).count())
    return int(Address.objects.counted(tenant).count())


def _before_of(item: JobItem) -> dict[str, Any] | None:
    before = item.payload.get("before")
    return None if before is None else _values(before)


def _sentence(refusals: Iterable[Refusal]) -> str:
    return " ".join(dict.fromkeys(map(str, refusals)))


@dataclass(frozen=True)
class TakingBack(RowByRow):
    """An import's rows as they were before it, where nobody has changed them since."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        row = _from_json(item.payload)
        chunk = _chunk_of([row], work)
        now, before = chunk.before(row), _before_of(item)
        if now is None:
            return Outcome(UNCHANGED, GONE)
        if now != _values(item.payload["after"]):
            raise RefusedError(CHANGED_SINCE)
        if before is None:
            _require_as_made(chunk.there[row.ref], item.payload["edit"])
            _delete(chunk.there[row.ref], row.kind, work.actor)
            return Outcome(CHANGED)
        touched, _ = chunk.write(replace(row, values=before), now, work)
        return Outcome(CHANGED, touched=tuple(touched))


def _require_as_made(stored: Model, edit: str) -> None:
    """Refuse to delete what somebody worked on since the import made it, whatever of it."""
    events: Any = stored._meta.concrete_model.pgh_event_model  # type: ignore[union-attr]
    last = events.objects.filter(pgh_obj_id=stored.pk).order_by("-pgh_id").first()
    if last is not None and str(last.pgh_context_id) != edit:
        raise RefusedError(CHANGED_SINCE)
    require_bare(stored)


def _delete(stored: Model, kind: Kind, actor: Actor) -> None:
    permissions.require(actor, "delete", MODELS[kind])
    with transaction.atomic():
        changes.delete(stored, actor=actor)


register(Importing(IMPORT, undone_by=UNDO))
register(TakingBack(UNDO, undone_by=""))
