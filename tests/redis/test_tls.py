"""Redis over TLS: one URL that its client, Celery's broker and Celery's results understand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.errors import BrokerUnavailable, SettingsError
from app.core.settings import Settings, load_settings
from app.core.urls import normalize_redis_url
from app.redis.client import open_redis, ping
from app.runtime import require_servers
from tests.api.client import running_api
from tests.clients.certificates import Certificate
from tests.processes import Processes
from tests.tls import tls_redis
from tests.waiting import until


@pytest.fixture
async def redis_at(tmp_path: Path) -> AsyncIterator[tuple[str, Certificate]]:
    folder = tmp_path / "redis"
    folder.mkdir()
    async with tls_redis(folder) as found:
        yield found


def _with_certificates(url: str, certificate: Certificate) -> str:
    file = certificate.certificate
    pair = f"ssl_certfile={file}&ssl_keyfile={certificate.key}"
    return f"{url}?ssl_ca_certs={file}&{pair}"


async def test_worker_and_api_work_over_tls(
    settings: Settings, redis_at: tuple[str, Certificate], tmp_path: Path
) -> None:
    url = load_settings(redis_url=_with_certificates(*redis_at)).redis_url
    private = settings.model_copy(update={"redis_url": url, "celery_broker_url": url})
    with Processes(private, tmp_path) as processes:
        worker = processes.worker("--pool=solo")
        async with running_api(private) as api:
            await until(lambda: asyncio.sleep(0, "ready" in worker.output), 60)
            beat = processes.beat()
            assert url is not None
            client = open_redis(url.get_secret_value())

            async def lives() -> bool:
                return bool(await client.zcard("prices:signs:beat"))

            await until(lives, 60)
            await client.aclose()
            assert (await api.get("/health/ready")).status == 200
        assert "hush" not in worker.output + beat.output


async def test_certificates_are_checked_unless_told_otherwise(
    redis_at: tuple[str, Certificate], settings: Settings
) -> None:
    bare, certificate = redis_at
    pair = f"ssl_certfile={certificate.certificate}&ssl_keyfile={certificate.key}"
    unchecked = open_redis(normalize_redis_url(f"{bare}?ssl_cert_reqs=CERT_NONE&{pair}"))
    await ping(unchecked)
    await unchecked.aclose()
    careful = normalize_redis_url(f"{bare}?{pair}")
    with pytest.raises(BrokerUnavailable) as caught:
        await require_servers(
            settings.model_copy(update={"redis_url": SecretStr(careful)}), broker=True
        )
    line = str(caught.value)
    port = bare.rpartition(":")[2].partition("/")[0]
    assert f"self-signed certificate (host 127.0.0.1, port {port}): name the authority" in line
    assert "hush" not in line


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("redis://:a@h:1/0", "redis://:a@h:1/0"),
        ("rediss://h:1/0", "rediss://h:1/0?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "rediss://h/0?ssl_cert_reqs=none"),
        ("rediss://h/0?ssl_cert_reqs=optional", "rediss://h/0?ssl_cert_reqs=optional"),
        (
            "rediss://h/0?ssl_ca_certs=/a/b.pem",
            "rediss://h/0?ssl_ca_certs=%2Fa%2Fb.pem&ssl_cert_reqs=required",
        ),
    ],
)
def test_url_is_written_as_every_client_understands_it(given: str, normal: str) -> None:
    loaded = load_settings(redis_url=given, celery_broker_url=given)
    for found in (loaded.redis_url, loaded.celery_broker_url):
        assert found is not None
        assert found.get_secret_value() == normal


@pytest.mark.parametrize("name", ["redis_url", "celery_broker_url"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:hush@h/0?ssl_ca_certs=/a", "parameters of TLS need rediss://"),
        (
            "rediss://:hush@h/0?ssl_cert_reqs=maybe",
            "ssl_cert_reqs must be one of none, optional",
        ),
        ("rediss://:hush@h/0?ssl_check_hostname=maybe", "ssl_check_hostname must be one of true"),
        ("rediss://:hush@h/0?ssl_keyfile=/a", "ssl_keyfile needs ssl_certfile"),
        ("rediss://:hush@h/0?ssl_ca_certs=/a&ssl_ca_certs=/b", "ssl_ca_certs must be given once"),
        ("rediss://:hush@h/0?bogus=1", "unknown parameter bogus; known are ssl_ca_certs,"),
        ("redis://:hush@h/0?bogus=1", "unknown parameter bogus; known are ssl_ca_certs,"),
        ("redis://:hush@h/0?socket_timeout=1", "unknown parameter socket_timeout; known are"),
        ("redis://:hush@h/abc", "must name the database by its number, as in redis://host:port/0"),
        ("redis://u:1#hush@h:6379/0", "must hold no #: write it as %23"),
        ("redis://u:p#hush@h:6379/0", "must hold no #: write it as %23"),
        ("redis://:hush@h/0#", "must hold no #: write it as %23"),
        ("rediss://:hush@h/0?ssl_ca_certs=%00", "ssl_ca_certs must hold no %00"),
        ("redis://:hush@h/1/2", "must name the database by its number"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name: str, url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**{name: url})
    assert str(caught.value).startswith(f"{name.upper()}=(hidden): ")
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("bogus=1", "unknown parameter bogus; known are heartbeat, login_method"),
        ("heartbeat=often", "heartbeat must be a number of seconds"),
    ],
)
def test_parameters_that_kombu_can_not_pass_to_rabbitmq_are_refused(query: str, words: str) -> None:
    load_settings(celery_broker_url="amqp://u:hush@h//?heartbeat=10&login_method=PLAIN")
    with pytest.raises(SettingsError) as caught:
        load_settings(celery_broker_url=f"amqp://u:hush@h//?{query}")
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


def test_database_may_be_left_out() -> None:
    for url in ("redis://h", "redis://h/", "redis://h:1/15"):
        assert normalize_redis_url(url) == url
