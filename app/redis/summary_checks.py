"""The results of the checks of hourly summaries, in Redis."""

import json
from collections.abc import Mapping

from redis.asyncio import Redis

from app.domain.health import CheckedHours
from app.redis.client import map_redis_errors

SUMMARY_CHECKS_KEY = "prices:summaries:wrong"


class SummaryCheckStore:
    """Stores each ticker's last check, also one that found nothing wrong.

    Each method raises BrokerUnavailable while Redis does not answer.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def read(self) -> dict[str, CheckedHours]:
        """Read the results by ticker."""
        with map_redis_errors():
            return parse_summary_checks(await self._redis.hgetall(SUMMARY_CHECKS_KEY))

    async def save(self, ticker: str, result: CheckedHours) -> None:
        """Replace a ticker's result."""
        with map_redis_errors():
            await self._redis.hset(SUMMARY_CHECKS_KEY, ticker, json.dumps(result))

    async def delete(self, ticker: str) -> None:
        """Delete a ticker's result."""
        with map_redis_errors():
            await self._redis.hdel(SUMMARY_CHECKS_KEY, ticker)


def parse_summary_checks(fields: Mapping[bytes | str, bytes | str]) -> dict[str, CheckedHours]:
    """Parse the fields of the hash under SUMMARY_CHECKS_KEY."""
    return {str(ticker): _parse(text) for ticker, text in fields.items()}


def _parse(text: bytes | str) -> CheckedHours:
    return {int(start): wrong for start, wrong in json.loads(text).items()}
