"""The metrics, over every process that counts."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from app.core.metrics import COUNTERS, HISTOGRAMS, PROCESS_GAUGES
from app.core.settings import Settings
from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey
from app.domain.slots import Slot
from app.postgres.database import Database
from app.redis.process_reports import Heartbeat, Role
from app.repositories import unfillable
from app.runtime import Runtime
from app.simulator import Exchange
from tests.api.client import ApiClient, running_api
from tests.conftest import Servers, set_phase
from tests.processes import PROJECT, Processes
from tests.waiting import until

Samples = dict[tuple[str, tuple[str, ...]], float]


async def scrape(api: ApiClient) -> Samples:
    answer = await api.get("/metrics")
    assert answer.status == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


async def test_requests_are_counted_by_route_and_status(api: ApiClient) -> None:
    for path in ("/api/v1/tickers", "/api/v1/tickers", "/api/v1/tasks/abc", "/no/such/thing"):
        await api.get(path)
    samples = await scrape(api)
    counter_name = "prices_http_requests_total"
    assert samples[counter_name, ("GET", "/api/v1/tickers", "200")] == 2
    assert samples[counter_name, ("GET", "/api/v1/tasks/{task_id}", "404")] == 1
    assert samples[counter_name, ("GET", "unmatched", "404")] == 1


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["plain", "gzip"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_every_request_is_counted_under_its_route(
    api: ApiClient, method: str, headers: dict[str, str]
) -> None:
    counter_name = {
        "/api/v1/tickers": "/api/v1/tickers",
        "/api/v1/prices?nonsense=1": "/api/v1/prices",
        "/api/v1/prices/latest?ticker=nope_usd": "/api/v1/prices/latest",
        "/api/v1/tasks/abc": "/api/v1/tasks/{task_id}",
        "/health/live": "/health/live",
        "/no/such/thing": "unmatched",
    }
    answers = {}
    for path, route in counter_name.items():
        answers[route] = (await api.send(method, path, headers=headers)).status
    names = {
        ("prices_http_requests_total", (method, route, str(status)))
        for route, status in answers.items()
    }

    async def are_counted() -> bool:
        """A request is counted when its answer has been sent, so a scrape may overtake it."""
        samples = await scrape(api)
        return [samples.get(name) for name in names] == [1] * len(names)

    await until(are_counted)


async def test_what_is_known_is_told_while_redis_is_away(
    settings: Settings, runtime: Runtime
) -> None:
    await runtime.collector.collect()
    settings_without_redis = settings.model_copy(
        update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}
    )
    async with running_api(settings_without_redis) as api:
        await api.get("/api/v1/tickers")
        samples = await scrape(api)
    assert (samples["prices_up", ("postgres",)], samples["prices_up", ("redis",)]) == (1, 0)
    assert ("prices_age_seconds", ("deribit", "btc_usd")) in samples
    assert samples["prices_http_requests_total", ("GET", "/api/v1/tickers", "200")] >= 1


async def test_several_api_processes_give_the_same_sum(settings: Settings, api: ApiClient) -> None:
    async with running_api(settings) as other:
        for client in (api, other):
            await client.get("/api/v1/tickers")

        async def is_summed() -> bool:
            samples = await scrape(api)
            return (
                samples.get(("prices_http_requests_total", ("GET", "/api/v1/tickers", "200"))) == 2
            )

        await until(is_summed)


@pytest.mark.parametrize("outcome", ["ok", "exchange_unavailable"])
async def test_exchange_requests_are_counted_by_outcome(
    runtime: Runtime, exchange: Exchange, api: ApiClient, outcome: str
) -> None:
    if outcome != "ok":
        exchange.add_fault("html", times=1)
    await runtime.collector.collect()
    samples = await scrape(api)
    assert samples["prices_exchange_requests_total", ("deribit", "get_index_price", outcome)] >= 1
    assert samples["prices_rows_stored_total", ("live",)] == 2


async def test_price_age_is_told_by_ticker(runtime: Runtime, api: ApiClient) -> None:
    assert not any(name == "prices_age_seconds" for name, _ in await scrape(api))
    await runtime.collector.collect()
    samples = await scrape(api)
    assert 0 <= samples["prices_age_seconds", ("deribit", "btc_usd")] < 60


async def test_missing_slots_are_told_by_reason(
    runtime: Runtime, api: ApiClient, database: Database, sql: asyncpg.Connection
) -> None:
    await runtime.collector.collect()

    async def missing(reason: str) -> float:  # labels come in the order of their names
        return (await scrape(api))["prices_slots_missing", ("deribit", reason, "btc_usd")]

    assert await missing("pending") == 0
    await sql.execute("UPDATE recordings SET first_slot = first_slot - 300")
    first = Slot(await sql.fetchval("SELECT min(first_slot) FROM recordings"))
    async with database.transaction() as session:
        gap = Gap(first, Slot(first + 60), 60, Reason.CHART_TOO_COARSE)
        await unfillable.upsert(session, TickerKey("deribit", "btc_usd"), [gap])
    assert (await missing("pending"), await missing("chart_too_coarse")) == (2, 2)


async def test_silence_and_clocks_are_told(
    runtime: Runtime, settings: Settings, api: ApiClient, servers: Servers
) -> None:
    """The stand-in's clock is not the machine's: it is ten seconds into a minute."""
    assert not any(name == "prices_silent_seconds" for name, _ in await scrape(api))
    Heartbeat(servers.redis_url, Role.BEAT, "here").beat()
    await runtime.collector.collect()
    samples = await scrape(api)
    assert 0 <= samples["prices_silent_seconds", ("beat",)] < 10
    assert ("prices_silent_seconds", ("worker",)) not in samples
    database, api_server = (
        samples["prices_clock_difference_seconds", (clock, settings.deribit_exchange_name)]
        for clock in ("database", "api")
    )
    assert database == pytest.approx(api_server, abs=2)


async def test_wrong_summaries_are_told_by_ticker(
    runtime: Runtime, api: ApiClient, sql: asyncpg.Connection
) -> None:
    await runtime.collector.collect()
    await sql.execute("UPDATE price_hours SET samples = 9 WHERE ticker = 'btc_usd'")
    await runtime.summary_check.check_and_count_wrong_hours()
    samples = await scrape(api)
    assert samples["prices_hours_wrong", ("deribit", "btc_usd")] == 1
    assert samples["prices_hours_wrong", ("deribit", "eth_usd")] == 0


@pytest.mark.accept
async def test_prefork_children_that_are_recycled_lose_no_count(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    set_phase(exchange, 0.2, interval=2)
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 2})
    with Processes(fast_settings, tmp_path) as processes:
        worker = processes.worker("--max-tasks-per-child=3")
        beat = processes.beat()
        await until(lambda: sql.fetchval("SELECT count(*) >= 6 FROM prices"), 40)
        beat.stop()
        worker.stop()
    request_count = len([item for item in exchange.requests if item.method == "get_index_price"])
    async with running_api(fast_settings) as api:
        samples = await scrape(api)
    rows = await sql.fetchval("SELECT count(*) FROM prices")
    assert samples["prices_rows_stored_total", ("live",)] == rows
    assert (
        samples["prices_exchange_requests_total", ("deribit", "get_index_price", "ok")]
        == request_count
    )


async def test_every_metric_is_documented(api: ApiClient) -> None:
    page = (PROJECT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"\| `(prices_\w+)`", page))
    text = (await api.get("/metrics")).body.decode()
    declared = set(re.findall(r"^# TYPE (prices_\w+)", text, re.MULTILINE))
    assert documented == declared
    assert len(documented) == len((*COUNTERS, *HISTOGRAMS, *PROCESS_GAUGES)) + 8


@pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus"
)
async def test_promtool_finds_no_fault(runtime: Runtime, api: ApiClient) -> None:
    """It takes the hours that are wrong for a unit of time; the name is public, and stays."""
    await runtime.collector.collect()
    await runtime.summary_check.check_and_count_wrong_hours()
    await api.get("/api/v1/tickers")
    text = (await api.get("/metrics")).body
    command = ("promtool", "check", "metrics")
    ran = await asyncio.to_thread(subprocess.run, command, input=text, capture_output=True)
    complaints = (ran.stdout + ran.stderr).decode().splitlines()
    assert complaints == ['prices_hours_wrong use base unit "seconds" instead of "hours"']


async def test_request_id_reaches_the_log_and_the_task(settings: Settings, tmp_path: Path) -> None:
    with Processes(settings, tmp_path) as processes:
        worker = processes.worker("--loglevel=info")
        async with running_api(settings) as api:
            answer = await api.send(
                "POST",
                "/api/v1/tasks/fetch-prices",
                headers={"X-API-Key": "right-key", "X-Request-ID": "traced-7"},
            )
            assert answer.status == 202
            assert answer.headers["x-request-id"] == "traced-7"
            task_id = answer.json()["task_id"]

            async def is_done() -> bool:
                return bool((await api.get(f"/api/v1/tasks/{task_id}")).json()["result"])

            await until(is_done, 40)
        worker.stop()
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    collected = [line for line in lines if line["event"] == "prices_collected"]
    assert [line["request_id"] for line in collected] == ["traced-7"]
    assert collected[0]["task_id"].startswith(task_id)


async def test_id_that_makes_no_sense_is_replaced(api: ApiClient) -> None:
    answer = await api.get("/health/live", **{"X-Request-ID": "a b\tc"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.accept
async def test_secrets_stand_in_no_line_of_any_process(
    settings: Settings, exchange: Exchange, tmp_path: Path
) -> None:
    secrets = {"PROXY_PASSWORD": "proxy-pass-word", "API_KEYS": "key-to-write"}
    env = {**secrets, "PROXY_URL": "http://127.0.0.1:9", "PROXY_USERNAME": "me"}
    with Processes(settings, tmp_path) as processes:
        noisy_env = {**env, "LOG_LEVEL": "debug", "COLLECT_INTERVAL_SECONDS": "2"}
        worker = processes.worker("--loglevel=debug", env=noisy_env)
        beat = processes.beat(env=noisy_env)
        api = processes.start("app", "api", env={**noisy_env, "API_PORT": "0"})

        async def has_failed() -> bool:
            return "attempt_failed" in worker.output and "startup complete" in api.output

        await until(has_failed, 40)
    assert not exchange.requests
    for process in (worker, beat, api):
        for secret in secrets.values():
            assert secret not in process.output


async def test_address_that_ends_where_its_parameter_begins_is_counted_too(api: ApiClient) -> None:
    assert (await api.get("/prices/")).status == 308
    counter_name = "prices_http_requests_total"
    assert (await scrape(api))[counter_name, ("GET", "/prices/", "308")] == 1
