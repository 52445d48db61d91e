"""The endpoint of alerts, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

import app.clients.webhook
from app.clients.webhook import open_webhook
from tests.webhook_receiver import TOKEN, WebhookReceiver, running_webhook_receiver


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with running_webhook_receiver() as taken:
        yield taken


async def delivery_error(url: str) -> str:
    async with open_webhook(SecretStr(url)) as webhook:
        trouble = await webhook.post({})
    assert trouble
    assert TOKEN not in trouble
    return trouble


async def test_body_arrives_as_json(receiver: WebhookReceiver) -> None:
    async with open_webhook(SecretStr(receiver.url)) as webhook:
        assert not await webhook.post({"text": "höher", "age_seconds": None})
    assert receiver.bodies == [{"text": "höher", "age_seconds": None}]


@pytest.mark.parametrize("status", [307, 404, 500])
async def test_any_answer_but_success_is_a_refusal(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    assert await delivery_error(receiver.url) == f"the endpoint answered HTTP {status}"
    assert receiver.attempts == 1


@pytest.mark.parametrize("place", ["127.0.0.1:1", "no-such-host.invalid", "xn--.invalid", ".."])
async def test_endpoint_that_can_not_be_reached_is_not_shown(place: str) -> None:
    words = await delivery_error(f"http://user:{TOKEN}@{place}/{TOKEN}")
    assert place not in words


async def test_silent_endpoint_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.clients.webhook, "TIMEOUT_SECONDS", 0.2)
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    assert await delivery_error(f"http://127.0.0.1:{port}/{TOKEN}") == "no answer within 0.2 s"
    silent.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
