"""What beat sends and when, and when the broker delivers a message again."""

import asyncio
import datetime as dt
import json

import pytest
from celery import Celery
from redis.asyncio import Redis

from app.core.settings import Settings
from app.postgres.timeouts import COMMAND_TIMEOUT_SECONDS
from app.worker.beat import EpochAlignedScheduler
from app.worker.configuration import celery_configuration
from tests.conftest import Servers

SEVEN_SECONDS_INTO_A_MINUTE = dt.datetime(2026, 1, 16, 16, 1, 7, tzinfo=dt.UTC)


@pytest.fixture
def celery(servers: Servers) -> Celery:  # noqa: ARG001  # Celery reads the environment
    """The application, imported when the environment names the servers."""
    from app.celery_app import celery  # noqa: PLC0415  # same

    return celery


def test_broker_hands_out_again_only_what_no_tick_can_still_hold(settings: Settings) -> None:
    """Elsewhere Redis delivered a task again while it ran."""
    for interval in (1, 60, 86_400):
        conf = celery_configuration(
            settings.model_copy(update={"collect_interval_seconds": interval})
        )
        again_after = conf["broker_transport_options"]["visibility_timeout"]
        assert again_after > conf["task_time_limit"] > interval


def test_no_tick_is_ended_while_its_write_may_wait(settings: Settings) -> None:
    """A lock holds up a write, and with its child an observed price would be lost."""
    for interval in (1, 60, 86_400):
        conf = celery_configuration(
            settings.model_copy(update={"collect_interval_seconds": interval})
        )
        assert conf["task_time_limit"] > interval + COMMAND_TIMEOUT_SECONDS


async def test_beats_messages_carry_no_time_of_its_clock(celery: Celery, redis: Redis) -> None:
    """A worker whose clock is ahead would take every tick for expired."""
    await asyncio.to_thread(lambda: EpochAlignedScheduler(app=celery).tick())
    headers = [json.loads(raw)["headers"] for raw in await redis.lrange("celery", 0, -1)]
    assert {head["task"] for head in headers} >= {"app.tasks.prices.collect"}
    assert {(head["eta"], head["expires"]) for head in headers} == {(None, None)}


def test_beat_wakes_on_the_grid_whenever_it_was_started(celery: Celery, settings: Settings) -> None:
    """A `timedelta` counts from beat's own start, so two beats would wake at two phases."""
    scheduler = EpochAlignedScheduler(app=celery, lazy=True)
    conf = celery_configuration(settings)
    scheduler.update_from_dict(conf["beat_schedule"])
    schedule = scheduler.schedule["collect-0"].schedule
    schedule.nowfun = lambda: SEVEN_SECONDS_INTO_A_MINUTE
    assert schedule.is_due(SEVEN_SECONDS_INTO_A_MINUTE).next == 8
