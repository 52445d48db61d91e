"""Open streams: what a thousand of them cost, and how much they slow the newest price down."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks import load
from benchmarks.environment import LATEST, TAIL, TICKERS, Environment
from benchmarks.load import Question
from benchmarks.processes import Broken
from benchmarks.results import RATIO, Result, middle, rate

STREAMS: Final = 1_000
LEAST_RATE: Final = 0.8
MOST_KIB: Final = 64
KIB_PER_MEGABYTE: Final = 1_000_000 / 1024
ROUNDS: Final = 3
STORE_EVERY_SECONDS: Final = 1.0
_STORE: Final = f"""
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', '{TAIL}', coalesce(max(timestamp), 0) + 60, 1, 0, 'live'
FROM prices WHERE exchange = 'deribit' AND ticker = '{TAIL}'
"""  # noqa: S608  # constants
_EMPTY: Final = f"DELETE FROM prices WHERE ticker = '{TAIL}'"  # noqa: S608  # constants


def measure(environment: Environment) -> Iterator[Result]:
    """Ask for the newest price with and without open streams, while a row is stored each second."""
    environment.sql.ask(_STORE)
    alone, beside, grown = [], [], []
    for _ in range(ROUNDS):
        with _storing(environment):
            alone.append(_latest_per_second(environment))
        before = environment.api.megabytes
        with _open_streams(environment) as received, _storing(environment):
            grown.append(environment.api.megabytes - before)
            beside.append(_latest_per_second(environment))
        if received[0] < STREAMS:
            raise Broken(f"{received[0]} events for {STREAMS} streams")
    environment.sql.ask(_EMPTY)
    ratio, detail = (
        middle(beside) / middle(alone),
        f"{rate(middle(beside))} to {rate(middle(alone))}",
    )
    name = f"latest beside {STREAMS:,} open streams, of that without"
    yield Result(name, ratio, RATIO, detail, at_least=LEAST_RATE)
    # the first time, because memory that was freed is used again
    kib = grown[0] * KIB_PER_MEGABYTE / STREAMS
    yield Result("memory of an open stream", kib, "KiB", at_most=MOST_KIB)


def _latest_per_second(environment: Environment) -> float:
    url = environment.api.url + LATEST
    return load.ask(url, Question(TICKERS), environment.scale.seconds).per_second


@contextmanager
def _open_streams(environment: Environment) -> Iterator[list[int]]:
    """Open streams and read them in a thread; count the events."""
    path = f"/api/v1/prices/stream?ticker={TAIL}"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    received, ended = [0], threading.Event()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(STREAMS):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", environment.api.port))
            )
            connection.sendall(request)
            if b" 200 " not in connection.recv(65_536):
                raise Broken("a stream was refused")
            selector.register(connection, selectors.EVENT_READ)

        def read() -> None:
            while not ended.is_set():
                for key, _ in selector.select(0.1):
                    received[0] += key.fileobj.recv(65_536).count(b"event: price")  # type: ignore[union-attr]  # sockets

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield received
        finally:
            ended.set()
            reader.join()


@contextmanager
def _storing(environment: Environment) -> Iterator[None]:
    """Store a row each second meanwhile."""
    ended = threading.Event()

    def store() -> None:
        while not ended.wait(STORE_EVERY_SECONDS):
            environment.sql.ask(_STORE)

    writer = threading.Thread(target=store)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
