"""Kombu's connection to the broker, fixed where a restart of Redis would end a worker.

docs/adr/0018 describes what kombu does, and why it is fixed here.
"""

from contextlib import suppress
from typing import Any

from celery.app import amqp
from kombu.connection import Connection
from kombu.transport import redis, virtual
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry


class _Unacknowledged(redis.QoS):
    """The messages that a channel delivered and that are not acknowledged yet."""

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ANN401  # a stream, or None
        """Put them back; if Redis is away, it redelivers them after the visibility timeout."""
        with suppress(RedisError, OSError):
            super().restore_unacked_once(stderr)


class _Channel(redis.Channel):
    """A channel that can be lost and closed without unexpected exceptions."""

    QoS = _Unacknowledged

    def close(self) -> None:
        """Close the channel, also if Redis is away."""
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
        """Return the parameters of a client's connection.

        Raises:
            RedisConnectionError: the channel's connection was closed, by us or by a reconnect;
                kombu's own `AttributeError` would end the worker.
        """
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("the channel's connection is closed")
        # The channel's users retry themselves; retries of the client would block a main loop for
        # seconds at every command while Redis is away.
        return {**super()._connparams(asynchronous), "retry": Retry(NoBackoff(), 0)}


class _Transport(redis.Transport):
    Channel = _Channel


class _Connection(Connection):
    """A connection that keeps its URL's scheme, and with it TLS, and uses the fixed transport."""

    def get_transport_cls(self) -> Any:  # noqa: ANN401  # a class of kombu's
        """Return the transport: ours for Redis, kombu's for every other broker."""
        transport = super().get_transport_cls()
        return _Transport if transport is redis.Transport else transport


class Broker(amqp.AMQP):
    """Makes Celery open these connections."""

    Connection = BrokerConnection = _Connection
