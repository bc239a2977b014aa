"""Whether whoever asked for a job in the panel may still do what it does.

Hours may lie between the asking and the work: an account that was deleted, closed or demoted
meanwhile changes nothing any more.
"""

from django.contrib.auth import get_user_model

from tenants.jobs.kind import StuckError
from tenants.models import Job

PANEL = "admin"
GONE = (
    "The account of {who}, who asked for it, was deleted: nothing more was done. Whoever may do "
    "this can go on with it."
)
MAY_NOT = (
    "{who}, who asked for it, may not do this any more: nothing more was done. Whoever may do "
    "this can go on with it."
)


def require_asker(job: Job) -> None:
    """Raises StuckError where a job of the panel has lost who stands for it. As things are now.

    A check changes nothing, so it takes no right; each of its rows says what it would take.
    """
    if job.surface != PANEL:
        return
    users = get_user_model()._default_manager
    user = users.filter(pk=job.user_id).first() if job.user_id else None
    if user is None:
        raise StuckError(GONE.format(who=job.actor_name))
    is_applied = job.phase == Job.Phase.APPLY
    if is_applied and job.permission and not user.has_perm(job.permission):
        raise StuckError(MAY_NOT.format(who=job.actor_name))
