"""Jobs in commands: nobody waits for their process, so they do the work themselves."""

from django.core.management.base import CommandError

from tenants import jobs
from tenants.models import Job


def finish(job: Job) -> Job:
    """Work a queued job off here, where no worker has taken it already.

    Raises CommandError where it did not come to its end, with the reason.
    """
    if job.state == Job.State.QUEUED and (mine := jobs.claim(job.pk)):
        jobs.run(mine)
    job.refresh_from_db()
    if job.state == Job.State.FAILED:
        raise CommandError(job.result.get("error", "The job failed; the log says why."))
    if job.state not in (Job.State.READY, Job.State.DONE):
        told = f"job {job.pk} is {job.get_state_display()}"
        raise CommandError(f"Not done here, {told}: a worker goes on with it. Its page shows that.")
    return job
