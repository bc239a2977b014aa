"""A disk that is nearly full: mail waits at its sender before anything fails."""

import asyncio

import psycopg
import pytest
from pytest_django import Settings

from gateway.disk import DiskWatch
from gateway.link import Link, Question, Row
from gateway.routing import replies
from mailrouting.management.commands.gateway import watched_folders
from tests.gateway.live import LiveGateway
from tests.gateway.stage import Stage
from tests.gateway.test_intake import incoming, store


def look(watch: DiskWatch) -> bool:
    asyncio.run(watch.look())
    return watch.is_low


@pytest.mark.enable_socket  # an event loop wakes itself through one
def test_fullest_disk_decides_and_room_is_noticed():
    room = {"a": 100, "b": 9}
    watch = DiskWatch(["a", "b"], reserve_octets=10, free=room.__getitem__)

    assert look(watch)
    room["b"] = 10
    assert not look(watch)


@pytest.mark.enable_socket
def test_disk_that_cannot_be_asked_counts_as_low():
    assert look(DiskWatch(["/nowhere/at/all"], reserve_octets=1))


def test_gateway_watches_the_spool_s_disk_and_those_of_the_setting(settings: Settings):
    settings.GATEWAY_SPOOL_DIR, settings.GATEWAY_DISK_FOLDERS = "/spool", ["/pg", "/pg_wal"]
    settings.EMBEDDED = False

    assert watched_folders() == ["/spool", "/pg", "/pg_wal"]


def test_low_disk_is_said_at_mail_and_at_data(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    disk = gateway.server.services.room.disk
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        wire.command(f"RCPT TO:<{stage.address('hello')}>")
        disk.is_low = True
        assert wire.command("DATA") == str(replies.NO_SPACE)
        assert wire.command("RSET") == str(replies.OK)
        assert wire.command("MAIL FROM:<>") == str(replies.NO_SPACE)
        disk.is_low = False
        assert wire.command("MAIL FROM:<>") == str(replies.SENDER_OK)


class Full(Link):
    """A link to a server whose disk is full."""

    async def ask(self, *_questions: Question) -> list[list[Row]]:
        raise psycopg.errors.DiskFull("could not extend file")


@pytest.mark.usefixtures("database", "socket_enabled")
def test_full_disk_of_postgresql_is_no_space():
    answers = store([incoming(), incoming()], Full())

    assert [getattr(answer, "reply", None) for answer in answers] == [replies.NO_SPACE] * 2
