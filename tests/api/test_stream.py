"""The stream of new prices over HTTP."""

import asyncio
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientConnectionError

from app.api import event_stream
from app.core.settings import Settings
from tests.api.client import ApiClient, open_api_client, running_api
from tests.api.sse import Event, open_stream
from tests.api.test_outages import free_port
from tests.postgres.restartable_servers import migrate, restartable_postgres
from tests.processes import Processes
from tests.repositories.rows import add_recording, store
from tests.waiting import until

STREAM = "/api/v1/prices/stream"


async def test_each_new_row_is_an_event_with_the_digits_that_are_stored(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    async with open_stream(api.url) as stream:
        await store(sql, [60], price="95123.4500")
        await store(sql, [120], price="0.000000000000000001", source="import")
        await store(
            sql, [60], ticker="eth_usd", price="123456789012345678901234", source="backfill"
        )
        assert await stream.take(3) == [
            Event(
                "price",
                '{"exchange":"deribit","ticker":"btc_usd","timestamp":60,'
                '"price":95123.4500,"source":"live"}',
            ),
            Event(
                "repair",
                '{"exchange":"deribit","ticker":"btc_usd","timestamp":120,'
                '"price":0.000000000000000001,"source":"import"}',
            ),
            Event(
                "repair",
                '{"exchange":"deribit","ticker":"eth_usd","timestamp":60,'
                '"price":123456789012345678901234,"source":"backfill"}',
            ),
        ]


async def test_other_tickers_are_not_told_but_the_position_moves_on(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    async with open_stream(api.url, "ticker=BTC_USD&ticker=deribit:btc_usd") as stream:
        await store(sql, [60], ticker="eth_usd")
        await store(sql, [120])
        (event,) = await stream.take(1)
        assert event.row == ("btc_usd", 120)
    await store(sql, [180])
    async with open_stream(api.url, "ticker=btc_usd", stream.last_id) as again:
        assert [event.row for event in await again.take(1)] == [("btc_usd", 180)]


async def test_a_stream_goes_on_after_the_last_event_by_header_or_by_address(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    async with open_stream(api.url) as stream:
        await store(sql, [60])
        await stream.take(1)
        first = stream.last_id
        await store(sql, [120])
        await stream.take(1)
        second = stream.last_id
    await store(sql, [180])
    query = f"ticker=btc_usd&after={first}"
    async with open_stream(api.url, query) as by_address:
        assert [event.row[1] for event in await by_address.take(2)] == [120, 180]
    async with open_stream(api.url, query, second) as by_both:
        assert [event.row[1] for event in await by_both.take(1)] == [180]


async def test_a_reset_names_the_range_of_each_ticker(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, 600])
    await store(sql, [120], ticker="eth_usd")
    async with open_stream(api.url) as stream:
        await sql.execute("TRUNCATE recordings")
        events = await stream.take(2)
        assert [(event.name, event.json) for event in events] == [
            ("reset", {"exchange": "deribit", "ticker": "btc_usd", "from": 60, "to": 600}),
            ("reset", {"exchange": "deribit", "ticker": "eth_usd", "from": 120, "to": 120}),
        ]
        await store(sql, [660])
        assert [event.row for event in await stream.take(1)] == [("btc_usd", 660)]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("ticker=btc_usd&after=nonsense", "after"),
        ("ticker=btc_usd&after=WyJhIiwxLCJ4Il0", "after"),
        (f"ticker=btc_usd&after={'a' * 9000}", "after"),
        ("ticker=btc_usd&from_dt=0", "from_dt"),
        ("", "ticker"),
    ],
)
async def test_bad_parameters_are_named(api: ApiClient, query: str, parameter: str) -> None:
    assert parameter in (await api.get(f"{STREAM}?{query}")).errors_by_parameter


async def test_a_header_that_is_no_position_is_named(api: ApiClient) -> None:
    answer = await api.get(f"{STREAM}?ticker=btc_usd", **{"Last-Event-ID": "7"})
    assert set(answer.errors_by_parameter) == {"last-event-id"}


async def test_an_unknown_ticker_is_a_404(api: ApiClient) -> None:
    answer = await api.get(f"{STREAM}?ticker=btc_usd&ticker=nope_usd")
    assert (answer.status, answer.code) == (404, "ticker_not_found")


async def test_a_stream_is_neither_compressed_nor_cached(api: ApiClient) -> None:
    async with open_stream(api.url) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in headers
        assert "ETag" not in headers
    head = await api.send("HEAD", f"{STREAM}?ticker=btc_usd")
    assert (head.status, head.body) == (200, b"")


async def test_one_stream_too_many_is_refused_until_another_one_ends(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    async with running_api(settings.model_copy(update={"max_streams": 1})) as api:
        path = f"{STREAM}?ticker=btc_usd"
        async with open_stream(api.url):
            answer = await api.get(path)
            assert (answer.status, answer.code) == (503, "too_many_streams")
            assert int(answer.headers["retry-after"]) > 0

        async def is_free() -> bool:
            return (await api.send("HEAD", path)).status == 200

        await until(is_free)
        async with open_stream(api.url) as stream:
            await store(sql, [60])
            assert len(await stream.take(1)) == 1


async def _fill_buffers(sql: asyncpg.Connection) -> None:
    """Store more rows than the sockets between a server and a reader can hold as events."""
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source) "
        "SELECT 'deribit', 'btc_usd', 60 * n, n, 0, 'import' FROM generate_series(1, 60000) AS n"
    )


async def test_a_reader_that_is_too_slow_is_told_so_and_goes_on_later(
    api: ApiClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 2.0)
    monkeypatch.setattr(event_stream, "CLOSING_SECONDS", 60.0)
    told: list[tuple[str, int]] = []
    async with open_stream(api.url, read_bufsize=1024) as slow, open_stream(api.url) as quick:
        await _fill_buffers(sql)
        assert len(await quick.take(60_000)) == 60_000, "nobody waits for the slow one"
        await asyncio.sleep(4)
        while (event := await slow.next()) is not None and event.name != "closing":
            told.append(event.row)
        assert event == Event("closing", '{"reason":"too_slow"}')
        assert await slow.next() is None
    assert 0 < len(told) < 60_000
    async with open_stream(api.url, last_id=slow.last_id) as again:
        told += [event.row for event in await again.take(60_000 - len(told))]
    assert told == [("btc_usd", 60 * n) for n in range(1, 60_001)]


async def _open_deaf(url: str, query: str) -> socket.socket:
    """Open a stream and read nothing of it."""
    host, port = url.removeprefix("http://").split(":")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((host, int(port)))
    deaf.sendall(f"GET {STREAM}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return deaf


def _has_server_end(client_port: int) -> bool:
    """Tell whether a server holds its end of a connection, also one that the client left."""
    remote_end, held = f":{client_port:04X}", {"01", "08"}
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        remote.endswith(remote_end) and state in held for _, _, remote, state, *_ in connections
    )


async def test_a_reader_that_never_reads_is_disconnected_and_gives_its_place_back(
    settings: Settings, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(event_stream, "CLOSING_SECONDS", 0.5)
    async with running_api(settings.model_copy(update={"max_streams": 1})) as api:
        path = f"{STREAM}?ticker=btc_usd"

        async def is_refused() -> bool:
            return (await api.send("HEAD", path)).status == 503

        async def is_free() -> bool:
            return (await api.send("HEAD", path)).status == 200

        async def is_closed() -> bool:
            return not _has_server_end(deaf.getsockname()[1])

        with await _open_deaf(api.url, "ticker=btc_usd") as deaf:
            await until(is_refused)
            assert _has_server_end(deaf.getsockname()[1])
            await _fill_buffers(sql)
            await until(is_free, 60)
            await until(is_closed)


async def test_streams_outlast_a_restart_of_the_database(
    settings: Settings, directory: Path
) -> None:
    async with (
        restartable_postgres(directory / "stream-restart") as server,
        running_api(await migrate(server, settings, directory)) as api,
    ):
        sql = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        async with open_stream(api.url) as stream:
            await store(sql, [60])
            await stream.take(1)
            await server.stop()
            assert (await api.get(f"{STREAM}?ticker=btc_usd")).status == 503
            await server.start()
            sql = await asyncpg.connect(server.url.replace("+asyncpg", ""))
            await store(sql, [120])
            assert [event.row[1] for event in await stream.take(1)] == [120]
        async with open_stream(api.url, last_id=stream.last_id) as again:
            await store(sql, [180])
            assert [event.row[1] for event in await again.take(1)] == [180]
        await sql.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_process_that_ends_tells_its_readers(
    settings: Settings, tmp_path: Path, sql: asyncpg.Connection, workers: int
) -> None:
    await add_recording(sql, 60)
    port = free_port()
    chosen = settings.model_copy(update={"api_port": port, "api_workers": workers})
    url = f"http://127.0.0.1:{port}"
    with Processes(chosen, tmp_path) as processes:
        process = processes.start("app", "api")

        async def all_listen() -> bool:
            started = process.output.count("Application startup complete") == workers
            with suppress(ClientConnectionError):
                async with open_api_client(url) as client:
                    return started and (await client.get("/health/live")).status == 200
            return False

        await until(all_listen, 40)
        async with asyncio.timeout(20), open_stream(url) as one, open_stream(url) as other:
            ending = asyncio.create_task(asyncio.to_thread(process.stop, 10))
            for stream in (one, other):
                assert await stream.next() == Event("closing", '{"reason":"shutting_down"}')
                assert await stream.next() is None
            assert await ending in (0, -signal.SIGTERM)  # uvicorn ends by the signal itself
        assert "Traceback" not in process.output


async def test_a_process_ends_although_a_reader_does_not_read(
    settings: Settings, tmp_path: Path, sql: asyncpg.Connection
) -> None:
    await add_recording(sql, 60)
    chosen = settings.model_copy(update={"api_port": free_port()})
    url = f"http://127.0.0.1:{chosen.api_port}"
    with Processes(chosen, tmp_path) as processes:
        process = processes.start("app", "api")

        async def answers() -> bool:
            with suppress(ClientConnectionError):
                async with open_api_client(url) as client:
                    return (await client.get("/health/live")).status == 200
            return False

        await until(answers, 40)
        async with open_stream(url) as stream:
            await store(sql, [60 * 70_000])
            await stream.take(1)
            position = stream.last_id
        await _fill_buffers(sql)
        with ExitStack() as stack:
            query = f"ticker=btc_usd&after={position}"
            deaf = [stack.enter_context(await _open_deaf(url, query)) for _ in range(3)]

            async def buffers_are_full() -> bool:
                return all(_unsent_bytes(each.getsockname()[1]) for each in deaf)

            await until(buffers_are_full, 40)
            await asyncio.to_thread(process.stop, 8)


def _unsent_bytes(client_port: int) -> int:
    """Return how many bytes wait at a server's end of a connection, by the kernel's list."""
    remote_end = f":{client_port:04X}"
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return max(
        (
            int(queues[:8], 16)
            for _, _, remote, _, queues, *_ in connections
            if remote.endswith(remote_end)
        ),
        default=0,
    )
