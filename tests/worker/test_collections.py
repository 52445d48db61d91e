"""Collections that someone asked for: started in parts, followed as one."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from redis.asyncio import Redis

from app.core.errors import CollectionFailed, DatabaseUnavailable, TaskNotFound
from app.core.settings import Settings
from app.services.collector import CollectionResult

# Celery's backend calls what redis-py deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

ReadStatus: TypeAlias = Callable[[Settings, Redis, str], Awaitable[Any]]

MANY = tuple(f"t{number:03}_usd" for number in range(120))
"""Three parts of at most fifty tickers."""


@pytest.fixture
def collections(settings: Settings) -> ModuleType:
    """The module, imported once Celery can know its servers."""
    from app.tasks import requested_tasks as module  # noqa: PLC0415  # Celery reads the environment

    assert settings.redis_url is not None
    return module


@pytest.fixture
def read_status(collections: ModuleType) -> ReadStatus:  # noqa: ARG001  # same
    """The function that reads the status of a task."""
    from app.tasks.requested_tasks import read_status as read  # noqa: PLC0415  # Celery reads the environment

    return read


@pytest.fixture
def many_tickers(settings: Settings) -> Settings:
    return settings.model_copy(update={"tickers": MANY})


def _store_result(
    task_id: str, share: int, result: CollectionResult, state: str = "SUCCESS"
) -> None:
    """Store the result of one shard as a worker does."""
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    celery.backend.store_result(f"{task_id}.{share}", asdict(result), state)


def _store_failure(task_id: str, share: int, error: Exception) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    celery.backend.mark_as_failure(f"{task_id}.{share}", error)


async def fetch_state(
    read_status: ReadStatus, settings: Settings, redis: Redis, task_id: str
) -> tuple[str, CollectionResult | None]:
    status = await read_status(settings, redis, task_id)
    return status.state, status.result


async def _messages(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(message) for message in await redis.lrange("celery", 0, -1)]


async def test_start_publishes_a_task_per_share(
    collections: ModuleType, many_tickers: Settings, redis: Redis
) -> None:
    task_id = await collections.start_collection(many_tickers, redis)
    messages = await _messages(redis)
    ids = {message["headers"]["id"] for message in messages}
    assert ids == {f"{task_id}.{share}" for share in range(3)}
    assert {message["headers"]["task"] for message in messages} == {"app.tasks.prices.collect"}
    shares = [eval(message["headers"]["kwargsrepr"]) for message in messages]  # noqa: S307  # ours
    assert sorted(kwargs["share"] for kwargs in shares) == [0, 1, 2]
    assert all(kwargs["shares"] == 3 and kwargs["wait"] is True for kwargs in shares)


async def test_no_message_carries_a_time_of_the_senders_clock(
    collections: ModuleType, many_tickers: Settings, redis: Redis
) -> None:
    await collections.start_collection(many_tickers, redis)
    for message in await _messages(redis):
        assert (message["headers"]["eta"], message["headers"]["expires"]) == (None, None)


async def test_id_is_kept_for_a_day(
    collections: ModuleType, settings: Settings, redis: Redis
) -> None:
    task_id = await collections.start_collection(settings, redis)
    assert 86_390 <= await redis.ttl(f"prices:task:{task_id}") <= 86_400


async def test_state_is_pending_until_a_part_begins(
    collections: ModuleType, read_status: ReadStatus, many_tickers: Settings, redis: Redis
) -> None:
    task_id = await collections.start_collection(many_tickers, redis)
    assert await fetch_state(read_status, many_tickers, redis, task_id) == ("PENDING", None)
    _store_result(task_id, 1, CollectionResult(), "STARTED")
    assert await fetch_state(read_status, many_tickers, redis, task_id) == ("STARTED", None)
    _store_result(task_id, 0, CollectionResult(stored=["t000_usd"]))
    _store_result(task_id, 1, CollectionResult(stored=["t001_usd"]))
    assert await fetch_state(read_status, many_tickers, redis, task_id) == ("STARTED", None)


async def test_result_joins_all_parts(
    collections: ModuleType, read_status: ReadStatus, many_tickers: Settings, redis: Redis
) -> None:
    task_id = await collections.start_collection(many_tickers, redis)
    _store_result(task_id, 0, CollectionResult(stored=["t000_usd"], already=["t003_usd"]))
    _store_result(task_id, 1, CollectionResult(stored=["t001_usd"]))
    _store_result(task_id, 2, CollectionResult(already=["t002_usd"]))
    status = await read_status(many_tickers, redis, task_id)
    assert status.state == "SUCCESS"
    assert status.result == CollectionResult(
        stored=["t000_usd", "t001_usd"], already=["t003_usd", "t002_usd"]
    )


async def test_part_that_failed_for_some_tickers_tells_of_all(
    collections: ModuleType, read_status: ReadStatus, many_tickers: Settings, redis: Redis
) -> None:
    task_id = await collections.start_collection(many_tickers, redis)
    failed = {"t001_usd": "exchange_timeout"}
    _store_result(task_id, 0, CollectionResult(stored=["t000_usd"]))
    _store_failure(
        task_id, 1, CollectionFailed(asdict(CollectionResult(stored=["t004_usd"], failed=failed)))
    )
    _store_result(task_id, 2, CollectionResult())
    status = await read_status(many_tickers, redis, task_id)
    assert status.state == "FAILURE"
    assert status.result == CollectionResult(stored=["t000_usd", "t004_usd"], failed=failed)


FAILURES: list[tuple[Exception, str]] = [
    (DatabaseUnavailable("away"), "database_unavailable"),
    (TimeLimitExceeded(110), "internal_error"),
    (WorkerLostError("killed"), "internal_error"),
    (KeyError("a defect"), "internal_error"),
    (type("Gone", (Exception,), {})("a class that is no more"), "internal_error"),
]


async def test_every_ticker_of_a_part_that_broke_has_failed(
    collections: ModuleType, read_status: ReadStatus, many_tickers: Settings, redis: Redis
) -> None:
    for error, code in FAILURES:
        task_id = await collections.start_collection(many_tickers, redis)
        _store_result(task_id, 0, CollectionResult(stored=["t000_usd"]))
        _store_result(task_id, 1, CollectionResult(stored=["t001_usd"]))
        _store_failure(task_id, 2, error)
        status = await read_status(many_tickers, redis, task_id)
        assert status.state == "FAILURE"
        assert status.result.failed == dict.fromkeys(MANY[2::3], code)
        assert status.result.stored == ["t000_usd", "t001_usd"]


async def test_revoked_part_is_a_failure_rather_than_under_way_for_ever(
    collections: ModuleType, read_status: ReadStatus, settings: Settings, redis: Redis
) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    task_id = await collections.start_collection(settings, redis)
    celery.backend.mark_as_revoked(f"{task_id}.0", "terminated")
    status = await read_status(settings, redis, task_id)
    assert status.state == "FAILURE"
    assert set(status.result.failed) == {"btc_usd", "eth_usd"}


async def test_id_that_was_never_given_out_is_not_found(
    read_status: ReadStatus, settings: Settings, redis: Redis
) -> None:
    with pytest.raises(TaskNotFound):
        await read_status(settings, redis, "0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11")
