"""Secrets in settings: taken where they belong, and shown nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.settings import Settings, load_settings
from tests.core.settings_errors import settings_error

DATABASE = "postgresql+asyncpg://user:hunter2@host:5432/name"
pytestmark = pytest.mark.usefixtures("empty_dir")

SENSELESS_SECRETS = [
    ("database_url", "postgresql://user:hunter2@host/name"),
    ("database_url", "postgresql+asyncpg://user:hunter2@host"),
    ("database_url", "postgresql+asyncpg://user:hun/hunter2@host/name"),
    ("database_url", "postgresql+asyncpg://user:hun#hunter2@host/name"),
    ("database_url", "postgresql+asyncpg://user@host:hunter2/name"),
    ("database_url", "postgresql+asyncpg://[hunter2@host/name"),
    ("database_url", "postgresql+asyncpg:///name?password=hunter2"),
    ("redis_url", "http://:hunter2@host:1/0"),
    ("redis_url", "redis://:hunter2"),
    ("redis_url", "hunter2"),
    ("redis_url", "unix://:hunter2@/socket"),
    ("redis_url", "redis://user:1?hunter2@host/0"),
    ("redis_url", "redis://user:1/hunter2@host/0"),
    ("celery_broker_url", "kafka://user:hunter2@host"),
    ("celery_broker_url", "amqp://user:hunter2\u2100@host"),
    ("celery_broker_url", "amqp://user:1?hunter2@host"),
    ("proxy_url", "socks5://user:hunter2@host:1"),
    ("proxy_url", "user:hunter2@host:1"),
    ("proxy_url", "http://user:hunter2@host:port"),
    ("alert_webhook_url", "ftp://host/hunter2"),
    ("alert_webhook_url", "https:///hunter2"),
    ("deribit_base_url", "https://user:hunter2@www.deribit.com/api/v2"),
    ("deribit_base_url", "https://user:hun/hunter2@www.deribit.com/api/v2"),
]


@pytest.mark.parametrize(("name", "value"), SENSELESS_SECRETS)
def test_senseless_setting_hides_its_secret(name: str, value: str) -> None:
    line = settings_error(**{name: value})
    assert line.startswith(f"{name.upper()}=")
    assert "hunter2" not in line
    assert ": must " in line


@pytest.mark.parametrize(("name", "value"), SENSELESS_SECRETS)
def test_senseless_setting_hides_its_secret_from_tracebacks(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: value})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)


@given(
    st.text(),
    st.sampled_from(
        ["database_url", "redis_url", "celery_broker_url", "proxy_url", "alert_webhook_url"]
    ),
)
def test_whatever_a_secret_url_holds_is_never_shown(tail: str, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: f"scheme://user:hunter2{tail}"})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_in_the_settings_shown() -> None:
    settings = load_settings(
        database_url=DATABASE,
        redis_url="redis://:hunter2@host:1/0",
        celery_broker_url="amqp://user:hunter2@host//",
        proxy_url="http://user:hunter2@host:1",
        proxy_username="maria",
        proxy_password="hunter2",  # noqa: S106  # invented
        api_keys="hunter2,hunter22",
        alert_webhook_url="https://host/hunter2",
    )
    shown = f"{settings!r} {settings} {settings.proxy!r} {settings.model_dump()}"
    assert "hunter2" not in shown + settings.model_dump_json()


@pytest.mark.parametrize(
    ("given_settings", "expected"),
    [
        ({"proxy_url": "http://host:1"}, ("http://host:1", None, "")),
        ({"proxy_url": "http://u%3f:p%40@host:1/"}, ("http://host:1/", "u?", "p@")),
        ({"proxy_url": "http://u@host:1"}, ("http://host:1", "u", "")),
        ({"proxy_url": "http://host:1", "proxy_username": "u"}, ("http://host:1", "u", "")),
        (
            {"proxy_url": "http://u:p@host:1", "proxy_username": "v", "proxy_password": "q"},
            ("http://host:1", "v", "q"),
        ),
        ({"proxy_url": "http://u:p@[::1]:1", "proxy_username": "v"}, ("http://[::1]:1", "v", "")),
    ],
)
def test_proxy_is_its_url_and_its_login(
    given_settings: dict[str, str], expected: tuple[str, str | None, str]
) -> None:
    proxy = load_settings(**given_settings).proxy
    assert proxy is not None
    assert (proxy.url, proxy.username, proxy.password.get_secret_value()) == expected


@pytest.mark.parametrize(
    ("given_settings", "line"),
    [
        ({"proxy_username": "u"}, "PROXY_USERNAME and PROXY_PASSWORD need PROXY_URL"),
        ({"proxy_password": "p"}, "PROXY_USERNAME and PROXY_PASSWORD need PROXY_URL"),
        ({"proxy_url": "http://h:1", "proxy_password": "p"}, "PROXY_PASSWORD needs PROXY_USERNAME"),
        (
            {"proxy_url": "http://h:1", "proxy_username": "u:v"},
            "PROXY_USERNAME must not hold a colon (RFC 7617)",
        ),
        ({"proxy_url": "http://u%3av@h:1"}, "PROXY_USERNAME must not hold a colon (RFC 7617)"),
    ],
)
def test_login_that_makes_no_sense_is_refused(given_settings: dict[str, str], line: str) -> None:
    assert settings_error(**given_settings) == line
