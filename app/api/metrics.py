"""The route that Prometheus scrapes."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from redis.asyncio import Redis

from app.api.deps import RuntimeDep
from app.api.errors import problems
from app.core.errors import BrokerUnavailable, DatabaseUnavailable
from app.core.metrics import COUNTERS, Sample
from app.db.metrics import hand_on, totals
from app.services.freshness import Freshness

AGE = "prices_age_seconds"
PAUSE_SECONDS = 1.0
SHOWN = 'prices_age_seconds{exchange="deribit",ticker="btc_usd"} 12.0'

router = APIRouter(tags=["health"], responses=problems(DatabaseUnavailable, BrokerUnavailable))


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string", "examples": [SHOWN]}}}}
    },
)
async def metrics(runtime: RuntimeDep) -> Response:
    """Counters over all processes of the service, and the age of every ticker's newest price."""
    scrape = _Scrape(await totals(runtime.redis), await runtime.freshness.look())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(scrape)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@asynccontextmanager
async def handed_on(redis: Redis) -> AsyncIterator[None]:
    """Hand on what this process counts, every second and at the end."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await hand_on(redis)

    handing_on = asyncio.create_task(forever())
    try:
        yield
    finally:
        handing_on.cancel()
        await hand_on(redis)


class _Scrape(Collector):
    """What one scrape found."""

    def __init__(self, counted: Mapping[Sample, int], fresh: Iterable[Freshness]) -> None:
        self._counted = counted
        self._fresh = fresh

    def collect(self) -> Iterable[Metric]:
        """Give every metric with its samples."""
        for metric in COUNTERS:
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample, amount in self._counted.items():
                if sample.metric == metric.name:
                    family.add_metric(sample.values, amount)
            yield family
        ages = GaugeMetricFamily(
            AGE,
            "Age of the newest live price's slot, by the exchange's clock.",
            labels=("exchange", "ticker"),
        )
        for freshness in self._fresh:
            if freshness.age_seconds is not None:
                ages.add_metric(tuple(freshness.key), freshness.age_seconds)
        yield ages
