"""The connection to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as ConnectionLost

from app.core.errors import BrokerUnavailable

SOCKET_TIMEOUT_SECONDS = 3.0
REFUSES = "Redis answers and refuses"
REFUSES_LOGIN = "Redis refuses the login"
MAX_REASON = 80


def open_redis(url: str) -> "Redis":
    """Open a client whose calls end in bounded time.

    A pooled connection that ended meanwhile is opened again, once; a timeout is not tried again.
    """
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1, (ConnectionLost,)),
        decode_responses=True,
    )


@contextmanager
def map_redis_errors() -> Iterator[None]:
    """Turn the ways in which Redis is away into one error."""
    try:
        yield
    except AuthenticationError as error:  # to redis-py it is a lost connection
        raise BrokerUnavailable(f"{REFUSES_LOGIN} ({str(error)[:MAX_REASON]})") from error
    except ResponseError as error:
        raise BrokerUnavailable(f"{REFUSES} ({str(error)[:MAX_REASON]})") from error
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(f"Redis does not answer ({type(error).__name__})") from error


async def ping(redis: "Redis") -> None:
    """Make sure that Redis answers.

    Raises:
        BrokerUnavailable: it does not.
    """
    with map_redis_errors():
        await redis.ping()
