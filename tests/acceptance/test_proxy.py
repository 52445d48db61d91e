"""Collection through a real proxy, Debian's tinyproxy, that asks for credentials."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from app.simulator import Exchange, ExchangeOptions
from tests.clients.certificates import make_certificate
from tests.conftest import set_phase
from tests.processes import Processes
from tests.waiting import until

pytestmark = pytest.mark.accept

USERNAME = "maria"
PASSWORD = "hunter2-of-the-proxy"  # noqa: S105  # a test's


@pytest.fixture
async def proxy_url(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[str]:
    """A running tinyproxy that lets only one user through."""
    program = shutil.which("tinyproxy")
    assert program, "tinyproxy is missing: apt-get install tinyproxy-bin"
    config = tmp_path / "tinyproxy.conf"
    config.write_text(
        f"Port {unused_tcp_port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\n"
        f"BasicAuth {USERNAME} {PASSWORD}\nLogLevel Connect\n"
    )
    with (tmp_path / "proxy.log").open("wb") as log:
        running = subprocess.Popen(  # noqa: ASYNC220, S603  # Debian's
            [program, "-d", "-c", config], stdout=log, stderr=log
        )
    try:
        await until(lambda: is_listening(unused_tcp_port))
        yield f"http://127.0.0.1:{unused_tcp_port}"
    finally:
        running.terminate()
        running.wait(10)


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def running_exchange(
    scheme: str, directory: Path
) -> AsyncIterator[tuple[Exchange, dict[str, str]]]:
    """Run an exchange over http or https, with the environment of clients that trust it."""
    if scheme == "http":
        async with Exchange() as exchange:
            yield exchange, {}
        return
    files = make_certificate(directory)
    options = ExchangeOptions(tls_cert=files.certificate, tls_key=files.key)
    async with Exchange(options) as exchange:
        yield exchange, {"SSL_CERT_FILE": str(files.certificate)}


def settings_with_proxy(
    settings: Settings, exchange: Exchange, proxy_url: str, password: str
) -> Settings:
    return settings.model_copy(
        update={
            "deribit_base_url": exchange.api_url,
            "collect_interval_seconds": 2,
            "proxy_url": SecretStr(proxy_url),
            "proxy_username": USERNAME,
            "proxy_password": SecretStr(password),
        }
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_collection_goes_through_the_proxy(
    settings: Settings, sql: asyncpg.Connection, proxy_url: str, tmp_path: Path, scheme: str
) -> None:
    async with running_exchange(scheme, tmp_path) as (exchange, env):
        set_phase(exchange, 0.2, interval=2)
        with Processes(
            settings_with_proxy(settings, exchange, proxy_url, PASSWORD), tmp_path
        ) as processes:
            worker = processes.worker("--loglevel=debug", env={**env, "LOG_LEVEL": "debug"})
            processes.beat(env=env)
            await until(lambda: sql.fetchval("SELECT count(*) >= 6 FROM prices"), 40)
            uvloop = processes.start("tests.acceptance.collect_under_uvloop", env=env)
            assert await asyncio.to_thread(uvloop.popen.wait, 30) == 0, uvloop.output
        proxy_log = (tmp_path / "proxy.log").read_text()
        assert proxy_log.count("CONNECT 127.0.0.1" if scheme == "https" else "GET http://") >= 1
    for process in processes.running:
        assert PASSWORD not in process.output
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_wrong_password_is_a_clear_error_that_tells_no_secret(
    settings: Settings, proxy_url: str, tmp_path: Path, scheme: str
) -> None:
    async with running_exchange(scheme, tmp_path) as (exchange, env):
        wrong_settings = settings_with_proxy(settings, exchange, proxy_url, "wrong-word")
        with Processes(wrong_settings, tmp_path) as processes:
            tick = processes.start("app", "collect", env=env)
            assert await asyncio.to_thread(tick.popen.wait, 30) == 1
        assert "proxy_refused" in tick.output
        assert "HTTP 401" in tick.output  # tinyproxy's word for a wrong login
        assert "PROXY_PASSWORD" in tick.output
        assert "wrong-word" not in tick.output
        assert not exchange.requests
