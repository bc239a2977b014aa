"""Processes that live say so, take their row away in order, and stand in for each other."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from gateway.watch import alarms
from gateway.watch.heart import OVERDUE_AFTER, Heart, name_of
from gateway.watch.models import Heartbeat, Progress

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now


def test_heart_writes_when_and_how_much_room_there_is(tmp_path: object) -> None:
    clock = Clock()
    heart = Heart(
        name_of("gateway", 9101), "gateway", folders=[str(tmp_path)], reserve_octets=5, clock=clock
    )
    heart.beat()
    [row] = Heartbeat.objects.all()
    assert (row.role, row.at, row.disk_reserve_octets) == ("gateway", clock.now, 5)
    assert row.disk_free_octets > 0
    clock.now += timedelta(seconds=15)
    heart.beat()
    row.refresh_from_db()
    assert row.at == clock.now


@pytest.mark.parametrize(("stands_in", "looks"), [(True, True), (False, False)])
def test_where_nobody_looks_for_trouble_who_stands_in_does(stands_in: bool, looks: bool) -> None:
    clock = Clock()
    heart = Heart("worker a:1", "worker", stands_in=stands_in, clock=clock)
    heart.beat()
    clock.now += OVERDUE_AFTER
    heart.beat()
    assert not Progress.objects.exists()  # it may have been started with all the others
    clock.now += timedelta(seconds=15)
    heart.beat()
    assert Progress.objects.filter(job=alarms.JOB).exists() is looks


def test_where_somebody_looks_nobody_stands_in() -> None:
    clock = Clock()
    heart = Heart("worker a:1", "worker", stands_in=True, clock=clock)
    heart.beat()
    clock.now += 2 * OVERDUE_AFTER
    last = clock.now - timedelta(minutes=1)
    Progress.objects.create(job=alarms.JOB, until=last, settled_until=last)
    heart.beat()
    assert Progress.objects.get().until == last


@pytest.mark.django_db(transaction=True)
def test_heart_beats_in_the_background_and_leaves_nothing_behind() -> None:
    from tests.waiting import wait_until

    heart = Heart("worker a:1", "worker")
    heart.start()
    wait_until(lambda: Heartbeat.objects.filter(process="worker a:1").exists())
    heart.stop()
    assert not Heartbeat.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_heart_beats_on_whatever_goes_wrong_in_what_it_does_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.waiting import wait_until

    def break_off(_now: datetime) -> None:
        raise UnicodeEncodeError("ascii", "ü", 0, 1, "an odd row")

    beats: list[datetime] = []

    def clock() -> datetime:
        beats.append(timezone.now() + len(beats) * 2 * OVERDUE_AFTER)
        return beats[-1]

    monkeypatch.setattr(alarms, "evaluate", break_off)
    monkeypatch.setattr("gateway.watch.heart.PERIOD_SECONDS", 0.01)
    heart = Heart("worker a:1", "worker", stands_in=True, clock=clock)
    heart.start()
    wait_until(lambda: len(beats) > 3)
    heart.stop()
