"""The checks of `doctor`: settings, disk, servers, the exchange, and what processes report."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.core.errors import (
    BrokerUnavailable,
    DatabaseTooOld,
    DatabaseUnavailable,
    ExchangeError,
    SchemaOutdated,
    ServersUnknown,
    SettingsError,
)
from app.core.raw_settings import misspelled_settings
from app.core.server_urls import database_url, redis_url
from app.core.settings import Settings, load_settings
from app.domain.findings import Finding, State, collector_findings, complete, remedy_of
from app.domain.health import Clocks
from app.domain.prices import TickerKey
from app.postgres.diagnosis import describe_database_unavailable
from app.postgres.schema_version import require_compatible_database
from app.redis.client import ping
from app.redis.diagnosis import describe_redis_unavailable
from app.runtime import START_OR_SET, Runtime, open_runtime

MIN_FREE_BYTES: Final = 1_000_000_000
"""PostgreSQL's log of writes alone may take so much."""
TIMEOUT_SECONDS: Final = 10.0
"""For one check; the timeouts of servers and of the exchange are shorter and say more."""
DEFAULT_PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
TOTAL_TIMEOUT_SECONDS: Final = 60.0


def diagnose() -> list[Finding]:
    """Check everything, and never raise."""
    findings = list(_check_spelling())
    try:
        settings = load_settings()
    except SettingsError as error:
        wrong = Finding.failing("settings", str(error), ".env.example describes each one")
        return complete([*findings, wrong])
    findings += [Finding.ok("settings", "valid"), check_disk(settings.data_dir)]
    servers = _guard("servers", _check_servers(settings), TOTAL_TIMEOUT_SECONDS)
    return complete([*findings, *asyncio.run(servers)])


def check_disk(directory: Path, min_free_bytes: int = MIN_FREE_BYTES) -> Finding:
    """Check how much space is free for DATA_DIR, which need not exist yet."""
    try:
        parents = directory.absolute().parents
        existing = next(path for path in (directory, *parents) if path.is_dir())
        free = shutil.disk_usage(existing).free
    except OSError as error:
        unusable = f"DATA_DIR={directory} can't be found: {error.strerror}"
        return Finding.failing("disk", unusable, "set DATA_DIR, in a directory that exists")
    detail = f"{free / 1e9:,.1f} GB free for {directory}"
    if free >= min_free_bytes:
        return Finding.ok("disk", detail)
    wanted = f"free space, or move DATA_DIR: at least {min_free_bytes / 1e9:,.1f} GB are needed"
    return Finding.failing("disk", detail, wanted)


def _check_spelling() -> Iterator[Finding]:
    if misspelled := misspelled_settings():
        names = ", ".join(f"{name} ({meant} is one)" for name, meant in misspelled.items())
        yield Finding.failing("spelling", f"no setting, and ignored: {names}", "rename or unset it")


async def _check_servers(settings: Settings) -> Sequence[Finding]:
    if unknown := list(_unknown_servers(settings)):
        return unknown
    try:
        async with open_runtime(settings) as runtime:
            return await _check_runtime(runtime)
    except SettingsError as error:
        return [Finding.failing("settings", str(error), ".env.example describes each one")]


def _unknown_servers(settings: Settings) -> Iterator[Finding]:
    for name, url_of in (("database", database_url), ("broker", redis_url)):
        try:
            url_of(settings)
        except ServersUnknown as error:
            detail, _, remedy = str(error).partition(": ")
            yield Finding.failing(name, detail, remedy)


async def _check_runtime(runtime: Runtime) -> Sequence[Finding]:
    servers = await asyncio.gather(
        _guard("database", _check_database(runtime)),
        _guard("broker", _check_broker(runtime)),
        _guard("celery", _check_celery_broker(runtime.settings)),
    )
    findings = [finding for found in servers for finding in found]
    failing = {finding.name for finding in findings if finding.state is State.FAILING}
    clocks: list[Clocks] = []
    if "broker" not in failing:  # which limits the rate of requests to the exchange
        add_clocks = None if "database" in failing else clocks.append
        findings += await _guard("exchange", _check_exchange(runtime, add_clocks))
    report = await runtime.freshness.check(runtime.now())
    report = replace(report, clocks=clocks or report.clocks)
    reported = (one for one in collector_findings(report) if one.name not in failing)
    return [*findings, *reported]


async def _guard(
    name: str, check: Coroutine[None, None, Sequence[Finding]], seconds: float = TIMEOUT_SECONDS
) -> Sequence[Finding]:
    """Run a check; what it can't handle is a finding too."""
    try:
        async with asyncio.timeout(seconds):
            return await check
    except TimeoutError:
        return [Finding.failing(name, f"no answer within {seconds:g} s")]
    except Exception as error:  # noqa: BLE001  # a message may hold secrets, so the type must do
        return [Finding.failing(name, f"could not be checked: {type(error).__name__}")]


async def _check_database(runtime: Runtime) -> Sequence[Finding]:
    try:
        await require_compatible_database(runtime.database)
    except DatabaseUnavailable as error:
        detail = describe_database_unavailable(error, database_url(runtime.settings))
        return [Finding.failing("database", detail, f"{START_OR_SET} DATABASE_URL")]
    except DatabaseTooOld as error:
        return [Finding.failing("database", str(error), "upgrade it")]
    except SchemaOutdated as error:
        detail, _, remedy = str(error).rpartition(": ")
        return [_answering(runtime), Finding.failing("schema", detail, remedy)]
    return [_answering(runtime), Finding.ok("schema", "up to date")]


def _answering(runtime: Runtime) -> Finding:
    version = ".".join(map(str, runtime.database.server_version))
    return Finding.ok("database", f"PostgreSQL {version} answers")


async def _check_broker(runtime: Runtime) -> Sequence[Finding]:
    try:
        await ping(runtime.redis)
    except BrokerUnavailable as error:
        detail = describe_redis_unavailable(error, redis_url(runtime.settings))
        return [Finding.failing("broker", detail, f"{START_OR_SET} REDIS_URL")]
    return [Finding.ok("broker", "Redis answers")]


async def _check_celery_broker(settings: Settings) -> Sequence[Finding]:
    """Check that something listens at CELERY_BROKER_URL, if it is set: usually RabbitMQ."""
    if settings.celery_broker_url is None:
        return []
    parts = urlsplit(settings.celery_broker_url.get_secret_value())
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    place = f"host {parts.hostname}, port {port}"
    try:
        _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError as error:
        reason = f"nothing listens there ({place}): {type(error).__name__}"
        return [Finding.failing("celery", reason, "start the broker, or correct CELERY_BROKER_URL")]
    writer.close()
    return [Finding.ok("celery", f"its broker listens ({place})")]


async def _check_exchange(
    runtime: Runtime, add_clocks: Callable[[Clocks], None] | None
) -> Sequence[Finding]:
    """Check that it answers and lists every ticker; compare clocks with one of its prices."""
    try:
        unlisted = await runtime.collector.unknown_tickers()
        listed = [key for key in runtime.freshness.keys if key not in unlisted]
        if add_clocks is not None and listed:
            add_clocks(await _compare_clocks(runtime, listed[0]))
    except ExchangeError as error:
        detail = f"{error.code} ({error})"
        return [Finding.failing("exchange", detail, remedy_of(error.code))]
    answering = Finding.ok("exchange", "answers")
    if not unlisted:
        return [answering]
    names = ", ".join(map(str, unlisted))
    return [answering, Finding.failing("tickers", f"not listed: {names}", "correct TICKERS")]


async def _compare_clocks(runtime: Runtime, key: TickerKey) -> Clocks:
    quote = await runtime.exchanges[key.exchange].fetch_index_price(key.ticker)
    return await runtime.freshness.compare_clocks(quote, runtime.now())
