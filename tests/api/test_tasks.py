"""How far a task is, over HTTP."""

import asyncio
from dataclasses import asdict
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from app.core.errors import CollectionFailed
from app.services.collector import CollectionResult
from tests.api.client import ApiClient

# Celery's backend calls what redis-py deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

FETCH = "/api/v1/tasks/fetch-prices"


async def test_status_follows_the_task(api: ApiClient) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    url = (await api.post(FETCH)).json()["status_url"]
    part = f"{url.rpartition('/')[2]}.0"
    states = []
    for state, result in (
        ("STARTED", None),
        ("SUCCESS", asdict(CollectionResult(stored=["btc_usd"]))),
    ):
        states.append((await api.get(url)).json()["state"])
        celery.backend.store_result(part, result, state)
    states.append((await api.get(url)).json()["state"])
    assert states == ["PENDING", "STARTED", "SUCCESS"]
    assert (await api.get(url)).json()["result"] == {
        "stored": ["btc_usd"],
        "already": [],
        "failed": {},
    }


async def test_starting_tasks_subscribes_to_nothing(api: ApiClient, redis: Redis) -> None:
    """Celery would keep a connection that listens for results for which nobody waits."""

    async def count_subscriptions() -> int:
        stats = await redis.info("commandstats")
        return int(stats.get("cmdstat_subscribe", {}).get("calls", 0))

    before = await count_subscriptions()
    answers = await asyncio.gather(*(api.post(FETCH) for _ in range(20)))
    assert {answer.status for answer in answers} == {202}
    assert await count_subscriptions() == before


async def test_failed_task_tells_the_codes_by_ticker(api: ApiClient) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    url = (await api.post(FETCH)).json()["status_url"]
    result = CollectionResult(stored=["btc_usd"], failed={"eth_usd": "exchange_timeout"})
    error = CollectionFailed(asdict(result))
    celery.backend.mark_as_failure(f"{url.rpartition('/')[2]}.0", error)
    answer = (await api.get(url)).json()
    assert (answer["state"], answer["result"]) == ("FAILURE", asdict(result))


async def test_id_that_was_never_given_out_is_a_404(api: ApiClient) -> None:
    for task_id in (uuid4(), "0", "-", "a" * 64):
        answer = await api.get(f"/api/v1/tasks/{task_id}")
        assert (answer.status, answer.code) == (404, "task_not_found")


async def test_odd_id_is_refused(api: ApiClient) -> None:
    for task_id in ("%00", "a" * 65, str(uuid4()).upper(), "*", "%D9%A1", "a" * 9999, "'"):
        answer = await api.get(f"/api/v1/tasks/{task_id}")
        assert answer.status in {404, 422}, task_id
        assert answer.code in {"parameters_invalid", "task_not_found"}


async def test_part_of_a_task_is_no_task(api: ApiClient, redis: Redis) -> None:
    task_id = (await api.post(FETCH)).json()["task_id"]
    assert await redis.exists(f"prices:task:{task_id}")
    assert (await api.get(f"/api/v1/tasks/{task_id}.0")).code == "task_not_found"


async def test_reading_the_address_of_a_post_is_a_405(api: ApiClient) -> None:
    answer = await api.get(FETCH)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
