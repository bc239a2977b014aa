"""A worker that is killed within a job: another one goes on where it stopped, each row once."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from tenants import jobs
from tenants.models import Alias, Job
from tests.gateway import worker
from tests.waiting import wait_until
from tests.world import ACTOR, make_domain, make_tenant

WORK_OFF = (
    "import django; django.setup(); from tenants import jobs; from tenants.jobs import kind; "
    "object.__setattr__(kind.find('addresses.extend'), 'chunk_rows', 2); "
    "jobs.work_off(lambda: True)"
)
ROWS = 300


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_s_job_is_finished_by_another_each_row_once(tmp_path: Path) -> None:
    domain = make_domain(make_tenant())
    Alias.objects.bulk_create(
        Alias(domain=domain, local_part=f"a{n}", key=f"a{n}@{domain.name}", enabled=False)
        for n in range(ROWS)
    )
    Alias.objects.update(expires_at=Now() + timedelta(days=1))
    before = dict(Alias.objects.values_list("pk", "expires_at"))
    job = jobs.draft(
        "addresses.extend", title="Extend", actor=ACTOR, permission="", parameters={"days": 1}
    )
    jobs.list_rows(job, Alias.objects.all(), label="key")
    jobs.apply(job)
    assert job.state == Job.State.QUEUED

    def handled() -> int:
        job.refresh_from_db()
        return job.handled

    with worker.running(WORK_OFF, tmp_path) as process:
        wait_until(lambda: handled() > 0)
        process.kill()
    assert 0 < handled() < ROWS, "it was killed within the job"
    assert jobs.claim(job.pk) is None, "its lease still holds"
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))

    assert jobs.work_off(lambda: True) == 1

    job.refresh_from_db()
    assert (job.state, job.changed, job.crashes) == (Job.State.DONE, ROWS, 0)
    after = dict(Alias.objects.values_list("pk", "expires_at"))
    assert {after[pk] - moment for pk, moment in before.items()} == {timedelta(days=1)}
