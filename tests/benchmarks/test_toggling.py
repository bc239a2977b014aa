"""Freshness: a gateway that answers as before an edit is noticed."""

import pytest

from tests.benchmarks.toy_server import Manner, running
from tests.world import make_alias, make_domain, make_tenant, to_inbox

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("socket_enabled")]


def test_each_reply_of_a_gateway_that_never_looks_again_is_stale() -> None:
    from benchmarks import toggling

    make_alias(make_domain(make_tenant()), toggling.ALIAS, to_inbox())
    with running(Manner()) as always, running(Manner()) as takes_all:
        told = toggling.main([always, takes_all], 4)
    # Off, on, off, on: both are wrong whenever it is off.
    assert (told["asked"], told["stale"]) == (8, 4)
