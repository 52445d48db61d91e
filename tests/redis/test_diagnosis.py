"""Faults of Redis by name: one line that says what, where and what mends it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from app.core.errors import BrokerUnavailable
from app.core.settings import Settings
from app.core.urls import normalize_redis_url
from app.redis.client import open_redis, ping
from app.redis.diagnosis import describe_redis_unavailable
from app.runtime import require_servers
from app.supervisor.ports import free_port
from tests.clients.certificates import Certificate, make_certificate
from tests.conftest import Servers
from tests.processes import Processes
from tests.tls import tls_redis
from tests.waiting import until


@pytest.fixture
async def redis_at(tmp_path: Path) -> AsyncIterator[tuple[str, Certificate]]:
    async with tls_redis(_directory(tmp_path, "redis")) as found:
        yield found


def _directory(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def _with_url(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(normalize_redis_url(url))})


async def _startup_error(settings: Settings, url: str) -> str:
    """Give the line with which a start at a Redis ends."""
    with pytest.raises(BrokerUnavailable) as caught:
        await require_servers(_with_url(settings, url), broker=True)
    line = str(caught.value)
    assert "\n" not in line
    assert "hush" not in line
    assert line.endswith("; start the embedded servers with `make run`, or set REDIS_URL")
    return line


async def test_every_fault_of_tls_has_its_line(
    settings: Settings, redis_at: tuple[str, Certificate], tmp_path: Path
) -> None:
    bare, (root, key) = redis_at
    other = make_certificate(_directory(tmp_path, "other")).certificate
    no_certificate = tmp_path / "none.pem"
    no_certificate.write_text("no certificate")
    server = f"(host 127.0.0.1, port {bare.rpartition(':')[2].partition('/')[0]})"
    pair = f"ssl_certfile={root}&ssl_keyfile={key}"
    trusting = f"{bare}?ssl_ca_certs={root}&{pair}"
    named_otherwise = trusting.replace("127.0.0.1", "localhost")
    expected = {
        f"{bare}?ssl_ca_certs={other}&{pair}": "Redis's certificate is refused: self-signed "
        f"certificate {server}: name the authority that signed it as ?ssl_ca_certs=/its/file.pem;",
        named_otherwise: "Redis's certificate is refused: Hostname mismatch, certificate is not "
        f"valid for 'localhost'. {server.replace('127.0.0.1', 'localhost')}: write the host as the "
        "certificate names it;",
        f"{bare}?ssl_ca_certs={tmp_path}/no.pem": f"ssl_ca_certs={tmp_path}/no.pem can't be read "
        f"(No such file or directory) {server};",
        f"{bare}?ssl_ca_certs={tmp_path}": f"ssl_ca_certs={tmp_path} can't be read (Is a",
        f"{bare}?ssl_ca_certs={no_certificate}": f"ssl_ca_certs={no_certificate} holds no valid "
        f"certificate {server}: it must be in PEM format;",
        f"{bare}?ssl_ca_certs={root}&ssl_certfile={other}&ssl_keyfile={key}": "ssl_certfile="
        f"{other} and its key can't be used {server}: both must be in PEM format and belong "
        "together;",
        bare.replace("rediss://", "redis://"): f"Redis closes the connection {server}: if it "
        "speaks TLS there, write rediss://;",
        trusting.replace("hush", "hushed"): "Redis refuses the login (",
    }
    for url, words in expected.items():
        line = await _startup_error(settings, url)
        assert line.startswith(words), f"{line}\n{words}"
    await require_servers(_with_url(settings, trusting), broker=True)


async def test_certificate_that_the_url_lacks_is_named(
    settings: Settings, redis_at: tuple[str, Certificate]
) -> None:
    """TLS lets the server tell its reason only after the client began to write."""
    bare, (root, _) = redis_at
    line = await _startup_error(settings, f"{bare}?ssl_ca_certs={root}")
    server = re.escape(f"(host 127.0.0.1, port {bare.rpartition(':')[2].partition('/')[0]}): ")
    problems = (
        f"Redis wants a certificate of its client {server}",
        f"Redis closes the TLS connection {server}if it wants a certificate of its client, ",
    )
    remedy = re.escape("name one as ?ssl_certfile=/its/file.pem&ssl_keyfile=/its/key.pem;")
    assert re.match(f"({'|'.join(problems)}){remedy}", line), line


async def test_server_that_speaks_no_tls_or_is_away_has_its_line(
    settings: Settings, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.redis.client.SOCKET_TIMEOUT_SECONDS", 0.5)
    with_tls = servers.redis_url.replace("redis://", "rediss://")
    assert "): if it speaks no TLS there, write redis://;" in await _startup_error(
        settings, with_tls
    )
    for url, words in (
        ("redis://127.0.0.1:1/0", "Redis does not listen there (host 127.0.0.1, port 1);"),
        ("redis://no-such-host.invalid/0", "the name of Redis's host has no address (host no-such"),
        (f"{servers.redis_url[:-1]}99999", "Redis answers and refuses (DB index is out of range)"),
    ):
        assert (await _startup_error(settings, url)).startswith(words)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "ssl_ciphers=nonsense",
            "ssl_ciphers=nonsense names no usable cipher (host {}): `openssl ciphers` lists them;",
        ),
        (
            "ssl_ca_data=nonsense",
            "ssl_ca_data holds no valid certificate (host {}): it must be in PEM format;",
        ),
        (
            "ssl_ca_data=%C3%BC",
            "ssl_ca_data holds no valid certificate (host {}): it must be in PEM format;",
        ),
    ],
)
async def test_parameter_that_openssl_or_python_refuses_has_its_line(
    settings: Settings, query: str, words: str
) -> None:
    line = await _startup_error(settings, f"rediss://:hush@127.0.0.1:1/0?{query}")
    assert line.startswith(words.format("127.0.0.1, port 1"))


async def test_certificate_and_ciphers_in_the_url_itself_are_used(
    settings: Settings, redis_at: tuple[str, Certificate]
) -> None:
    bare, (root, key) = redis_at
    query = {"ssl_ca_data": root.read_text(), "ssl_ciphers": "HIGH", "ssl_certfile": root}
    url = f"{bare}?{urlencode({**query, 'ssl_keyfile': key})}"
    await require_servers(_with_url(settings, url), broker=True)


async def test_path_of_a_file_is_shown_to_the_operator_alone(
    redis_at: tuple[str, Certificate],
) -> None:
    url = f"{redis_at[0]}?ssl_ca_certs=/nowhere.pem"
    client = open_redis(normalize_redis_url(url))
    with pytest.raises(BrokerUnavailable) as caught:
        await ping(client)
    await client.aclose()
    assert str(caught.value) == "Redis does not answer (FileNotFoundError)"
    assert "ssl_ca_certs=/nowhere.pem can't" in describe_redis_unavailable(caught.value, url)


async def test_worker_and_beat_end_with_the_line_and_the_api_logs_it(
    settings: Settings, redis_at: tuple[str, Certificate], tmp_path: Path
) -> None:
    url = f"{redis_at[0]}?ssl_ca_certs={tmp_path}/no.pem"
    reason = f"ssl_ca_certs={tmp_path}/no.pem can't be read (No such file or directory) (host"
    with Processes(_with_url(settings, url), tmp_path) as processes:
        env = {"LOG_FORMAT": "json", "API_PORT": str(free_port())}
        api, *ending = [processes.start("app", role, env=env) for role in ("api", "worker", "beat")]
        for process in ending:
            assert await asyncio.to_thread(process.popen.wait, 60) == 1
            (line,) = process.output.splitlines()
            assert json.loads(line)["code"] == "broker_unavailable"
            assert json.loads(line)["detail"].startswith(f"broker_unavailable: {reason}")
        await until(lambda: asyncio.sleep(0, "broker_unavailable" in api.output), 60)
        events = map(json.loads, api.output.splitlines())
        (warning,) = [event for event in events if event["event"] == "broker_unavailable"]
        assert warning["detail"].startswith(reason)
