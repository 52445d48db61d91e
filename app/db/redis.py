"""The connection to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.core.errors import BrokerUnavailable

SOCKET_TIMEOUT_SECONDS = 3.0
REFUSES = "Redis answers and refuses"
LONGEST_REASON = 80


def open_redis(url: str) -> "Redis":
    """Open a client whose calls end in bounded time."""
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        health_check_interval=15,
        decode_responses=True,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn the ways in which Redis is away into one error."""
    try:
        yield
    except ResponseError as error:
        raise BrokerUnavailable(f"{REFUSES} ({str(error)[:LONGEST_REASON]})") from error
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(f"Redis does not answer ({type(error).__name__})") from error


async def ping(redis: "Redis") -> None:
    """Make sure that Redis answers.

    Raises:
        BrokerUnavailable: it does not.
    """
    with translated():
        await redis.ping()
