"""The connection to Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.core.errors import BrokerUnavailable

SOCKET_TIMEOUT_SECONDS = 3.0
MAX_REASON_CHARACTERS = 80


def open_redis(url: str) -> "Redis":
    """Open a client whose calls time out after SOCKET_TIMEOUT_SECONDS.

    A lost connection is retried once, because a pooled one may have ended; a timeout is not.
    """
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
        decode_responses=True,
    )


@contextmanager
def map_redis_errors() -> Iterator[None]:
    """Map errors of redis-py and the socket to BrokerUnavailable."""
    try:
        yield
    except (AuthenticationError, ResponseError) as error:
        is_login = isinstance(error, AuthenticationError)
        problem = "Redis refuses the login" if is_login else "Redis answers and refuses"
        reason = str(error)[:MAX_REASON_CHARACTERS]
        raise BrokerUnavailable(f"{problem} ({reason})") from error
    except (RedisError, OSError) as error:
        reason = type(socket_error_of(error)).__name__
        raise BrokerUnavailable(f"Redis does not answer ({reason})") from error


def socket_error_of(error: BaseException) -> BaseException:
    """Return the socket's error that redis-py replaced by its own, whose class says less."""
    cause = error.__cause__ or error.__context__
    return cause if isinstance(cause, OSError) else error


async def ping(redis: "Redis") -> None:
    """Check that Redis answers.

    Raises:
        BrokerUnavailable: it does not answer.
    """
    with map_redis_errors():
        await redis.ping()
