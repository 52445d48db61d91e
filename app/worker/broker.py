"""The way to the broker: kombu's, mended where a Redis that restarts would end a worker.

docs/adr/0018 tells what kombu does, and why it is mended here.
"""

from contextlib import suppress
from typing import Any

from celery.app import amqp
from kombu.connection import Connection
from kombu.transport import redis, virtual
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.retry import Retry


class _Unacknowledged(redis.QoS):
    """The messages that a channel delivered and that nobody acknowledged yet."""

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ANN401  # a stream, or None
        """Put them back; where Redis is away, it hands them out after the visibility timeout."""
        with suppress(RedisError, OSError):
            super().restore_unacked_once(stderr)


class _Channel(redis.Channel):
    """A channel that its users can lose, and close, without a failure that nobody expects."""

    QoS = _Unacknowledged

    def close(self) -> None:
        """Close it; what can't be said to Redis any more is left unsaid."""
        try:
            super().close()
        except (RedisError, OSError):
            self._drop()

    def _drop(self) -> None:
        if self.connection is not None:
            self.connection.cycle.discard(self)
        self._disconnect_pools()
        self._close_clients()
        virtual.Channel.close(self)

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002  # kombu's
        """Give what a client connects with.

        Raises:
            ConnectionLost: the channel's connection was closed, by us or by a reconnect; kombu's
                own `AttributeError` would end the worker.
        """
        if self.connection is None or self.connection.client is None:
            raise ConnectionLost("the channel's connection is closed")
        # Who uses a channel tries again by itself; the client's own tries would stop a main loop
        # for seconds at every word to a Redis that is away.
        return {**super()._connparams(asynchronous), "retry": Retry(NoBackoff(), 0)}


class _Transport(redis.Transport):
    Channel = _Channel


class _Connection(Connection):
    """A connection that keeps its URL's scheme, and with it TLS, and uses the mended transport."""

    def get_transport_cls(self) -> Any:  # noqa: ANN401  # a class of kombu's
        """Give the transport: ours for Redis, kombu's for every other broker."""
        kind = super().get_transport_cls()
        return _Transport if kind is redis.Transport else kind


class Broker(amqp.AMQP):
    """What Celery opens its connections by."""

    Connection = BrokerConnection = _Connection
