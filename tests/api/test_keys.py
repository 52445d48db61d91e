"""Write endpoints open only to a right key."""

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.api import dependencies
from app.core.settings import Settings
from tests.api.client import ApiClient, running_api

FETCH = "/api/v1/tasks/fetch-prices"


async def test_right_key_opens(api: ApiClient) -> None:
    answer = await api.post(FETCH)
    assert answer.status == 202
    task_id = answer.json()["task_id"]
    assert answer.json() == {"task_id": task_id, "status_url": f"/api/v1/tasks/{task_id}"}
    assert (await api.get(answer.json()["status_url"])).json() == {
        "task_id": task_id,
        "state": "PENDING",
        "result": None,
    }


async def test_missing_key_is_a_401(api: ApiClient) -> None:
    for answer in (await api.post(FETCH, key=None), await api.post(FETCH, key="")):
        assert (answer.status, answer.code) == (401, "key_missing")
        assert answer.headers["www-authenticate"]


async def test_wrong_key_is_a_403(api: ApiClient) -> None:
    for key in ("wrong", "right-ke", "right-keyy", "RIGHT-KEY", "right-key,other", "x" * 10_000):
        answer = await api.post(FETCH, key=key)
        assert (answer.status, answer.code) == (403, "key_refused"), key
        assert key.encode() not in answer.body


async def test_key_in_the_query_is_no_key(api: ApiClient) -> None:
    assert (await api.post(f"{FETCH}?X-API-Key=right-key", key=None)).status == 401


async def test_refused_request_starts_nothing(api: ApiClient, redis: Redis) -> None:
    await api.post(FETCH, key="wrong")
    await api.post(FETCH, key=None)
    assert await redis.keys("prices:task:*") == []
    assert await redis.llen("celery") == 0


async def test_without_keys_the_answer_says_how_to_set_one(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": ()})) as api:
        for key in (None, "", "right-key"):
            answer = await api.post(FETCH, key=key)
            assert (answer.status, answer.code) == (403, "key_refused")
            assert "API_KEYS" in answer.json()["detail"]


async def test_every_one_of_several_keys_opens(settings: Settings) -> None:
    keys = (SecretStr("first"), SecretStr("second"), SecretStr("ключ"))
    async with running_api(settings.model_copy(update={"api_keys": keys})) as api:
        for key in keys:
            assert (await api.post(FETCH, key=key.get_secret_value())).status == 202
        assert (await api.post(FETCH, key="third")).status == 403


async def test_no_key_shows_in_an_answer_or_a_log(
    settings: Settings, sql: asyncpg.Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_api(settings.model_copy(update={"log_level": "debug"})) as api:
        await sql.execute("DROP TABLE prices")
        answers = [
            await api.post(FETCH),
            await api.post(FETCH, key="wrong-key"),
            await api.get("/openapi.json"),
            await api.get("/health/ready"),
            await api.get("/api/v1/tickers"),
        ]
    written = "".join(capfd.readouterr()) + "".join(str(answer.body) for answer in answers)
    assert "Started server process" in written
    assert "right-key" not in written
    assert "wrong-key" not in written


def test_keys_are_held_as_digests_made_once() -> None:
    keys = (SecretStr("right-key"), SecretStr("other"))
    digests = dependencies._digests(keys)
    assert all(len(digest) == 32 for digest in digests)
    assert (
        dependencies._digests(tuple(SecretStr(key.get_secret_value()) for key in keys)) is digests
    )
