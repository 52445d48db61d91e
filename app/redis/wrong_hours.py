"""What the last checks of hourly summaries found, in Redis."""

import json
from collections.abc import Mapping

from redis.asyncio import Redis

from app.domain.freshness import CheckedHours
from app.redis.client import map_redis_errors

WRONG_HOURS = "prices:summaries:wrong"


class WrongHours:
    """Keeps what checks found, by ticker; what was found right is kept too."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def read(self) -> dict[str, CheckedHours]:
        """Read what is known of each ticker that was checked.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            return load_checked(await self._redis.hgetall(WRONG_HOURS))

    async def keep(self, ticker: str, found: CheckedHours) -> None:
        """Keep what is known of a ticker now.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            await self._redis.hset(WRONG_HOURS, ticker, json.dumps(found))

    async def forget(self, ticker: str) -> None:
        """Forget a ticker.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            await self._redis.hdel(WRONG_HOURS, ticker)


def load_checked(known: Mapping[bytes | str, bytes | str]) -> dict[str, CheckedHours]:
    """Take from what Redis keeps what was found of each ticker."""
    return {str(ticker): _loaded(text) for ticker, text in known.items()}


def _loaded(text: bytes | str) -> CheckedHours:
    return {int(start): wrong for start, wrong in json.loads(text).items()}
