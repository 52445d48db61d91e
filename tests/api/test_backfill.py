"""Asking for a repair over HTTP."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from app.core.errors import RepairFailed
from app.core.settings import Settings
from app.domain.repairs import RepairResult
from app.simulator import Exchange
from tests.api.client import ApiClient
from tests.processes import Processes
from tests.services.price_gaps import backfilled_slots, store_with_gaps
from tests.waiting import until

# Celery's backend calls what redis-py deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

BACKFILL = "/api/v1/tasks/backfill"


@pytest.fixture
async def requested_repair(api: ApiClient) -> tuple[str, str]:
    """A requested repair: the URL of its status, and the id of its Celery task."""
    answer = await api.post(BACKFILL)
    assert answer.status == 202
    url = answer.json()["status_url"]
    assert url == f"/api/v1/tasks/{answer.json()['task_id']}"
    return url, f"{answer.json()['task_id']}.0"


async def test_status_tells_the_slots_once_it_has_ended(
    api: ApiClient, requested_repair: tuple[str, str]
) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    url, part_id = requested_repair
    assert (await api.get(url)).json()["state"] == "PENDING"
    celery.backend.store_result(part_id, asdict(RepairResult(5, 4, 3)), "SUCCESS")
    assert (await api.get(url)).json() == {
        "task_id": part_id.removesuffix(".0"),
        "state": "SUCCESS",
        "result": {"filled": 5, "unfillable": 4, "remaining": 3, "failed": {}},
    }


async def test_failed_repair_tells_the_codes_by_ticker(
    api: ApiClient, requested_repair: tuple[str, str]
) -> None:
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    url, part_id = requested_repair
    repaired = RepairResult(filled=5, remaining=1, failed={"eth_usd": "exchange_timeout"})
    celery.backend.mark_as_failure(part_id, RepairFailed(asdict(repaired)))
    answer = (await api.get(url)).json()
    assert (answer["state"], answer["result"]) == ("FAILURE", asdict(repaired))


async def test_ticker_that_nobody_knows_is_a_404(api: ApiClient, redis: Redis) -> None:
    for query in ("ticker=nope", "exchange=elsewhere", "ticker=btc_usd&exchange=elsewhere"):
        answer = await api.post(f"{BACKFILL}?{query}")
        assert (answer.status, answer.code) == (404, "ticker_not_found")
        assert "deribit:btc_usd" in answer.json()["detail"]
    assert not await redis.llen("celery")


async def test_tickers_are_compared_without_regard_to_case(api: ApiClient) -> None:
    assert (await api.post(f"{BACKFILL}?ticker=BTC_usd&exchange=Deribit")).status == 202


async def test_reversed_period_and_odd_parameters_are_refused(api: ApiClient, redis: Redis) -> None:
    faults = (await api.post(f"{BACKFILL}?from_dt=120&to_dt=60")).errors_by_parameter
    assert faults == {"from_dt": "must not be after to_dt"}
    for name in ("from_dt", "to_dt", "force", "ticker", "exchange"):
        assert set((await api.post(f"{BACKFILL}?{name}=%00")).errors_by_parameter) == {name}
    assert not await redis.llen("celery")


async def test_key_is_needed(api: ApiClient, redis: Redis) -> None:
    assert (await api.post(BACKFILL, key=None)).code == "key_missing"
    assert (await api.post(BACKFILL, key="wrong")).code == "key_refused"
    assert not await redis.llen("celery")


async def test_reading_the_address_is_a_405(api: ApiClient) -> None:
    answer = await api.get(BACKFILL)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_worker_repairs_what_was_asked_for(
    settings: Settings, api: ApiClient, exchange: Exchange, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    newest = await store_with_gaps(sql, exchange, [10, 11, 180], seconds=4 * 3_600)
    short_lookback = settings.model_copy(update={"backfill_lookback_hours": 1})
    with Processes(short_lookback, tmp_path) as processes:
        worker = processes.worker("--pool=solo")
        answer = await api.post(f"{BACKFILL}?ticker=btc_usd&to_dt={newest - 60 * 100}")

        async def has_ended() -> bool:
            return bool((await api.get(answer.json()["status_url"])).json()["result"])

        await until(has_ended, 40)
        await asyncio.to_thread(worker.stop)  # the exchange lives in this loop
    status = (await api.get(answer.json()["status_url"])).json()
    assert status["state"] == "SUCCESS"
    assert status["result"] == {"filled": 1, "unfillable": 0, "remaining": 0, "failed": {}}
    assert newest - 60 * 180 in await backfilled_slots(sql)
