"""The composition root: opens and closes everything that a process needs."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from redis.asyncio import Redis

from app.clients import open_exchanges
from app.clients.base import Exchange
from app.core.background_loops import run_repeatedly
from app.core.errors import BrokerUnavailable, DatabaseUnavailable
from app.core.server_urls import database_url, redis_url
from app.core.settings import Settings
from app.domain.prices import TickerKey
from app.files.text_layouts import JSON_ITEM
from app.postgres.database import Database
from app.postgres.diagnosis import describe_database_unavailable
from app.postgres.notifications import listen_forever
from app.postgres.schema_version import require_compatible_database
from app.redis.alert_lease import AlertLease
from app.redis.client import open_redis, ping
from app.redis.counters import CounterTotals, flush_counters
from app.redis.diagnosis import describe_redis_unavailable
from app.redis.process_gauges import ProcessGauges
from app.redis.process_reports import TickReports
from app.redis.rate_limiter import DistributedRateLimiter
from app.redis.repair_queue import RepairQueue
from app.repositories.cache_invalidation import CHANNEL
from app.services.alerts import AlertService
from app.services.collector import Collector
from app.services.coverage import CoverageService
from app.services.deletion import DeletionService
from app.services.exports import ExportService
from app.services.health import FreshnessService, StatusService
from app.services.imports import ImportService
from app.services.price_stream import PriceStream
from app.services.reader import PriceReader, ReadCache
from app.services.repair import RepairService
from app.services.summary_sample_check import SummarySampleCheck
from app.services.summary_verification import SummaryVerifier

WORKER_POOL_SIZE = 2
"""One connection holds a tick's lock, the other one writes.

The reserved one, beside the pool, reads which sessions keep a write waiting.
"""
LEASE_MARGIN_SECONDS = 5
MEGABYTE = 1_000_000
START_OR_SET = "start the embedded servers with `make run`, or set"
"""What to do if a server is away; the name of its setting follows."""


class Runtime:
    """The services and connections of a process: of the API, a worker, a command or a test."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: Redis,
        exchanges: Mapping[str, Exchange],
    ) -> None:
        keys = tuple(TickerKey(*index) for index in settings.indices)
        interval = settings.collect_interval_seconds
        lookback = settings.backfill_lookback_hours
        self.settings = settings
        self.database = database
        self.redis = redis
        self.exchanges = exchanges
        self.collector = Collector(
            database, exchanges, keys, interval, TickReports(redis, interval)
        )
        max_bytes = settings.read_memory_megabytes * MEGABYTE
        self.read_cache = ReadCache(database, JSON_ITEM, max_bytes)
        self.price_stream = PriceStream(database, settings.max_streams, self.read_cache.changed)
        self.reader = PriceReader(database, self.read_cache, frozenset(keys), interval)
        self.coverage = CoverageService(database, exchanges.keys(), lookback)
        self.summaries = SummaryVerifier(database)
        self.summary_check = SummarySampleCheck(database, redis)
        self.counter_totals = CounterTotals(redis)
        self.process_gauges = ProcessGauges(redis)
        self.freshness = FreshnessService(database, redis, keys, interval)
        self.status = StatusService(self.freshness, self.now)
        self.repair_queue = RepairQueue(redis)
        self.repair = RepairService(
            database, exchanges, keys, interval, lookback, self.repair_queue
        )
        self.exports = ExportService(database)
        self.imports = ImportService(database)
        self.deletion = DeletionService(database)

    def now(self) -> float:
        """Return this machine's clock in UNIX seconds."""
        return wall_clock()


def wall_clock() -> float:
    """Return this machine's clock in UNIX seconds; nothing else reads it."""
    return time.time()


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    pool_size: int = WORKER_POOL_SIZE,
    lock_wait_seconds: float | None = None,
) -> AsyncIterator[Runtime]:
    """Open everything; connections are made at their first use.

    `lock_wait_seconds` limits how long a statement waits for a lock. Only readers should set it,
    because a live price that is not written is lost.

    Raises:
        ServersUnknown: no database or Redis is configured.
    """
    async with AsyncExitStack() as stack:
        database = Database(
            database_url(settings),
            pool_size=pool_size,
            application_name=f"prices {os.getpid()}",
            lock_wait_seconds=lock_wait_seconds,
        )
        stack.push_async_callback(database.close)
        redis = open_redis(redis_url(settings))
        stack.push_async_callback(redis.aclose)
        stack.push_async_callback(flush_counters, redis)

        def rate_limiter_of(exchange: str) -> DistributedRateLimiter:
            rate_limiter = DistributedRateLimiter(
                redis,
                exchange,
                rate=settings.exchange_requests_per_second,
                permits=settings.exchange_connections,
                lease_seconds=settings.request_timeout_seconds + LEASE_MARGIN_SECONDS,
            )
            stack.push_async_callback(rate_limiter.close)
            return rate_limiter

        exchanges = await stack.enter_async_context(open_exchanges(settings, rate_limiter_of))
        runtime = Runtime(settings, database, redis, exchanges)
        stack.push_async_callback(runtime.read_cache.close)
        stack.push_async_callback(runtime.price_stream.close)
        stack.push_async_callback(runtime.status.close)
        stack.callback(database.begin_closing)  # the first step: the others may use a connection
        yield runtime


@asynccontextmanager
async def alert_lifespan(runtime: Runtime) -> AsyncIterator[None]:
    """Send alerts to ALERT_WEBHOOK_URL, if it is set, while the block runs."""
    url = runtime.settings.alert_webhook_url
    if url is None:
        yield
        return
    from app.clients.webhook import open_webhook  # noqa: PLC0415  # heavy, and few have one

    async with open_webhook(url) as webhook:
        lease = AlertLease(runtime.redis)
        service = AlertService(
            lambda: runtime.freshness.check(runtime.now()), runtime.now, lease, webhook
        )
        async with service.running():
            yield


@asynccontextmanager
async def cache_lifespan(runtime: Runtime) -> AsyncIterator[None]:
    """Keep the read cache fresh, and feed the stream, while the block runs."""
    with suppress(DatabaseUnavailable):  # the scheduled tidying does it, too
        await runtime.deletion.replace_restored_changes()
    cache, notified = runtime.read_cache, asyncio.Event()
    url = database_url(runtime.settings)
    tasks = [
        # metrics and logs call the read cache "memory"
        asyncio.create_task(run_repeatedly("memory", lambda: cache.refresh_forever(notified))),
        asyncio.create_task(run_repeatedly("stream", runtime.price_stream.follow_forever)),
        asyncio.create_task(
            run_repeatedly("notifications", lambda: listen_forever(url, CHANNEL, notified.set))
        ),
    ]
    try:
        yield
    finally:
        runtime.database.begin_closing()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def require_servers(settings: Settings, *, broker: bool) -> None:
    """Check, before a process starts to work, that its servers answer and the schema is current.

    Raises:
        ServersUnknown: no server is configured.
        DatabaseUnavailable, BrokerUnavailable: a configured server does not answer.
        DatabaseTooOld, SchemaOutdated: the server or the schema is older than the code.
    """
    async with open_runtime(settings) as runtime:
        try:
            await require_compatible_database(runtime.database)
            if broker:
                await ping(runtime.redis)
        except DatabaseUnavailable as error:
            why = describe_database_unavailable(error, database_url(settings))
            raise DatabaseUnavailable(f"{why}; {START_OR_SET} DATABASE_URL") from error
        except BrokerUnavailable as error:
            why = describe_redis_unavailable(error, redis_url(settings))
            raise BrokerUnavailable(f"{why}; {START_OR_SET} REDIS_URL") from error
