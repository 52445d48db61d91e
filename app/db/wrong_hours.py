"""Where hourly summaries were found to differ from their rows, in Redis, until they are right."""

import json
from collections.abc import Mapping

from redis.asyncio import Redis

from app.db.redis import translated

WRONG_HOURS = "prices:summaries:wrong"

Found = Mapping[int, int]
"""How many hours of a chunk are wrong, by the chunk's start in UNIX seconds."""


class WrongHours:
    """Keeps what checks found, by ticker; one without a wrong hour is kept too."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def read(self) -> dict[str, Found]:
        """Read what is known of each ticker that was checked.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with translated():
            known = await self._redis.hgetall(WRONG_HOURS)
        return {str(ticker): _loaded(text) for ticker, text in known.items()}

    async def keep(self, ticker: str, found: Found) -> None:
        """Keep what is known of a ticker now.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with translated():
            await self._redis.hset(WRONG_HOURS, ticker, json.dumps(found))


def summed(known: Mapping[str, str]) -> dict[str, int]:
    """Tell how many hours of each ticker are wrong, from what Redis keeps."""
    return {ticker: sum(_loaded(text).values()) for ticker, text in known.items()}


def _loaded(text: bytes | str) -> Found:
    return {int(start): wrong for start, wrong in json.loads(text).items()}
