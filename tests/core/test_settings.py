"""Settings: where they come from, what they mean, and what is said of senseless ones."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.raw_settings import misspelled_settings
from app.core.settings import Settings, load_settings
from tests.core.settings_errors import settings_error

DATABASE = "postgresql+asyncpg://user:hunter2@host:5432/name"
BASE = "https://www.deribit.com/api/v2"
DEFAULTS = {
    "database_url": None,
    "redis_url": None,
    "celery_broker_url": None,
    "deribit_base_url": BASE,
    "tickers": ("btc_usd", "eth_usd"),
    "collect_interval_seconds": 60,
    "backfill_lookback_hours": 48,
    "http_timeout_seconds": 10,
    "exchange_requests_per_second": 10,
    "exchange_connections": 8,
    "proxy_url": None,
    "proxy_username": None,
    "proxy_password": None,
    "api_host": "127.0.0.1",
    "api_port": 8000,
    "api_workers": 1,
    "api_keys": (),
    "log_level": "info",
    "log_format": None,
    "alert_webhook_url": None,
    "data_dir": Path(".data"),
}
OPTIONAL = {
    "DATABASE_URL": DATABASE,
    "REDIS_URL": "redis://host:1/0",
    "CELERY_BROKER_URL": "amqp://host:1//",
    "PROXY_URL": "http://host:1",
    "LOG_FORMAT": "json",
    "ALERT_WEBHOOK_URL": "https://host/token",
    "HEARTBEAT_FILE": "file",
    "API_KEYS": "key",
}
pytestmark = pytest.mark.usefixtures("empty_dir")


@pytest.fixture
def sources(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> "SettingSources":
    return SettingSources(empty_dir, monkeypatch)


class SettingSources:
    """Puts settings into the environment and into files."""

    def __init__(self, empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = empty_dir
        self._monkeypatch = monkeypatch

    def set_environment(self, **settings: str) -> None:
        for name, value in settings.items():
            self._monkeypatch.setenv(name, value)

    def write_file(self, file: str = ".env", **settings: str) -> None:
        path = self._directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def test_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_environment_wins_over_file_and_file_over_embedded_servers(sources: SettingSources) -> None:
    sources.write_file(".data/servers.env", REDIS_URL="redis://embedded:1/0", DATABASE_URL=DATABASE)
    sources.write_file(REDIS_URL="redis://file:1/0", API_PORT="1", API_WORKERS="3")
    sources.set_environment(API_PORT="2")
    settings = load_settings()
    assert (settings.api_port, settings.api_workers) == (2, 3)
    assert settings.redis_url == SecretStr("redis://file:1/0")
    assert settings.database_url == SecretStr(DATABASE)


def test_place_of_embedded_servers_may_be_said_in_the_file(sources: SettingSources) -> None:
    sources.write_file(DATA_DIR="elsewhere")
    sources.write_file("elsewhere/servers.env", REDIS_URL="redis://embedded:1/0")
    assert load_settings().redis_url == SecretStr("redis://embedded:1/0")


def test_place_of_embedded_servers_follows_the_environment(sources: SettingSources) -> None:
    sources.write_file(DATA_DIR="elsewhere")
    sources.write_file("here/servers.env", REDIS_URL="redis://here:1/0")
    sources.set_environment(DATA_DIR="here")
    assert load_settings().redis_url == SecretStr("redis://here:1/0")


def test_file_of_embedded_servers_sets_nothing_else(sources: SettingSources) -> None:
    sources.write_file(".data/servers.env", REDIS_URL="redis://embedded:1/0", API_PORT="1")
    assert load_settings().api_port == 8000


def test_exchange_of_a_demo_is_asked_unless_another_is_named(sources: SettingSources) -> None:
    """A command beside a running demo must not mix real prices with invented ones."""
    sources.write_file(".data/servers.env", DERIBIT_BASE_URL="http://127.0.0.1:5/api/v2")
    assert load_settings().deribit_base_url == "http://127.0.0.1:5/api/v2"
    sources.write_file(DERIBIT_BASE_URL=BASE)
    assert load_settings().deribit_base_url == BASE


def test_argument_wins_over_everything(sources: SettingSources) -> None:
    sources.write_file(".data/servers.env", REDIS_URL="redis://embedded:1/0")
    sources.set_environment(DATABASE_URL=DATABASE)
    settings = load_settings(database_url=None, redis_url=None)
    assert (settings.database_url, settings.redis_url) == (None, None)


@pytest.mark.parametrize("name", OPTIONAL)
def test_empty_text_means_none_and_wins_over_the_file(name: str, sources: SettingSources) -> None:
    sources.write_file(**{name: OPTIONAL[name]})
    assert getattr(load_settings(), name.lower())
    sources.set_environment(**{name: ""})
    assert not getattr(load_settings(), name.lower())


def test_empty_login_wins_over_the_file(sources: SettingSources) -> None:
    login = {"PROXY_USERNAME": "maria", "PROXY_PASSWORD": "hunter2"}
    sources.write_file(PROXY_URL="http://host:1", **login)
    sources.set_environment(**dict.fromkeys(login, ""))
    settings = load_settings()
    assert (settings.proxy_username, settings.proxy_password) == (None, None)


def test_empty_servers_mean_the_embedded_ones(sources: SettingSources) -> None:
    sources.write_file(DATABASE_URL="", REDIS_URL="")  # as .env.example has it
    sources.write_file(".data/servers.env", REDIS_URL="redis://embedded:1/0", DATABASE_URL=DATABASE)
    settings = load_settings()
    assert settings.redis_url == SecretStr("redis://embedded:1/0")
    assert settings.database_url == SecretStr(DATABASE)


def test_unreadable_file_is_one_line(empty_dir: Path) -> None:
    (empty_dir / ".env").write_bytes(b"\xff\xfe\xff")
    assert settings_error() == ".env or servers.env can't be read (UnicodeDecodeError)"


@pytest.mark.parametrize(
    "url", [BASE, f"{BASE}/", f"{BASE}/public", f"{BASE}/public/", f" {BASE} ", f"{BASE}//"]
)
def test_base_url_is_kept_without_public(url: str) -> None:
    assert load_settings(deribit_base_url=url).deribit_base_url == BASE


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (BASE, "deribit"),
        ("https://deribit.com/api/v2", "deribit"),
        ("http://127.0.0.1:8080/api/v2", "deribit"),
        ("https://test.deribit.com/api/v2", "deribit-test"),
        ("https://TEST.Deribit.com/api/v2/public", "deribit-test"),
        ("https://test.deribit.com.evil.example/api/v2", "deribit"),
    ],
)
def test_testnet_is_an_exchange_of_its_own(url: str, name: str) -> None:
    settings = load_settings(deribit_base_url=url)
    assert settings.deribit_exchange_name == name
    assert settings.indices[0] == (name, "btc_usd")


@pytest.mark.parametrize(
    "url",
    [
        DATABASE,
        "postgresql+asyncpg://user@/name?host=/socket/dir",
        "postgresql+asyncpg:///name?host=/socket/dir",
        "postgresql+asyncpg://host/name",
        "postgresql+asyncpg://user:p%40ss@[::1]:5432/name",
    ],
)
def test_both_forms_of_a_database_url_are_taken(url: str) -> None:
    assert load_settings(database_url=url).database_url == SecretStr(url)


@pytest.mark.parametrize("interval", [1, 2, 5, 60, 86_400])
def test_interval_that_divides_a_day_is_taken(interval: int) -> None:
    settings = load_settings(collect_interval_seconds=interval)
    assert settings.request_timeout_seconds == min(10, interval / 2)


@pytest.mark.parametrize("interval", ["0", "-60", "7", "86401", "172800", "1.5", "minute", ""])
def test_interval_that_does_not_divide_a_day_is_refused(interval: str) -> None:
    assert settings_error(collect_interval_seconds=interval).startswith(
        f"COLLECT_INTERVAL_SECONDS={interval}: "
    )


@pytest.mark.parametrize("hours", ["0", "-1", "876601", "1.5", "day", ""])
def test_lookback_that_makes_no_sense_is_refused(hours: str) -> None:
    assert settings_error(backfill_lookback_hours=hours).startswith(
        f"BACKFILL_LOOKBACK_HOURS={hours}: "
    )


@pytest.mark.parametrize(
    ("text", "tickers"),
    [
        ("btc_usd", ("btc_usd",)),
        (" BTC_USD , eth_usd ,", ("btc_usd", "eth_usd")),
        ("btc_usd,BTC_usd,btc_usd", ("btc_usd",)),
        ("drbfix-btc_usdc,1000pepe_usdc", ("drbfix-btc_usdc", "1000pepe_usdc")),
        ("deribit:btc_usd,eth_usd", ("deribit:btc_usd", "eth_usd")),
    ],
)
def test_tickers_are_split_lowered_and_taken_once(
    text: str, tickers: tuple[str, ...], sources: SettingSources
) -> None:
    sources.set_environment(TICKERS=text)
    assert load_settings().tickers == tickers


def test_ticker_with_and_without_its_exchange_is_one_index() -> None:
    settings = load_settings(tickers="btc_usd,deribit:btc_usd,eth_usd")
    assert settings.indices == (("deribit", "btc_usd"), ("deribit", "eth_usd"))


@pytest.mark.parametrize(
    "text", ["", " , ,", "btc usd", "a:b:c", ":btc_usd", "deribit:", "btc/usd"]
)
def test_senseless_tickers_are_refused(text: str) -> None:
    assert settings_error(tickers=text).startswith("TICKERS=")


def test_keys_are_split(sources: SettingSources) -> None:
    sources.set_environment(API_KEYS="one, two,,one")
    assert load_settings().api_keys == (SecretStr("one"), SecretStr("two"))


@pytest.mark.parametrize(("level", "log_format"), [("INFO", "JSON"), ("Debug", "console")])
def test_words_are_taken_in_any_case(level: str, log_format: str) -> None:
    settings = load_settings(log_level=level, log_format=log_format)
    assert (settings.log_level, settings.log_format) == (level.lower(), log_format.lower())


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("deribit_base_url", "", "must be a URL with a host that starts with https:// or http://"),
        ("deribit_base_url", "www.deribit.com", "starts with https:// or http://"),
        ("deribit_base_url", "ftp://www.deribit.com", "starts with https:// or http://"),
        ("deribit_base_url", "https:///api/v2", "with a host"),
        ("deribit_base_url", "https:/www.deribit.com", "with a host"),
        ("deribit_base_url", "https://host:99999", "with a host"),
        ("deribit_base_url", "https://host:0", "with a host"),
        ("deribit_base_url", "https://[::1", "with a host"),
        ("deribit_base_url", "https://host/?a=1", "without credentials, query and fragment"),
        ("deribit_base_url", "https://host/api/v2?", "without credentials, query and fragment"),
        ("deribit_base_url", "https://host/#a", "must hold no #: write it as %23"),
        ("deribit_base_url", "https://host/api/v2#", "must hold no #: write it as %23"),
        ("http_timeout_seconds", "0", "greater than 0"),
        ("http_timeout_seconds", "nan", "finite"),
        ("http_timeout_seconds", "inf", "finite"),
        ("http_timeout_seconds", "301", "less than or equal to 300"),
        ("exchange_requests_per_second", "0", "greater than or equal to 0.01"),
        ("exchange_requests_per_second", "nan", "finite"),
        ("exchange_requests_per_second", "1e-300", "greater than or equal to 0.01"),
        ("exchange_connections", "0", "greater than or equal to 1"),
        ("exchange_connections", "many", "integer"),
        ("api_host", "", "must not be empty"),
        ("api_host", "999.1.1.1", "must be an IP address or a host name"),
        ("api_host", "1:2:3", "must be an IP address or a host name"),
        ("api_host", "http://host", "must be an IP address or a host name"),
        ("api_host", "-host", "must be an IP address or a host name"),
        ("cors_origins", "example.com", "'example.com' is no origin: write https://example.com"),
        ("cors_origins", "https://a.example,https://b.example/", "'https://b.example/' is no"),
        ("cors_origins", "https://example.com:0", "is no origin"),
        ("api_port", "65536", "less than or equal to 65535"),
        ("api_port", "-1", "greater than or equal to 0"),
        ("api_workers", "0", "greater than or equal to 1"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "'json' or 'console'"),
        ("data_dir", "", "must not be empty"),
    ],
)
def test_senseless_setting_is_named_with_its_value_and_what_is_allowed(
    name: str, value: str, allowed: str, sources: SettingSources
) -> None:
    sources.set_environment(**{name.upper(): value})
    line = settings_error()
    assert line.startswith(f"{name.upper()}={value}: ")
    assert allowed in line


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "::", "::1", "localhost", "db-1.internal", "example.com.", "my_host"]
)
def test_addresses_and_names_are_hosts(host: str) -> None:
    assert load_settings(api_host=host).api_host == host


def test_origin_with_a_login_is_refused_without_showing_it() -> None:
    line = settings_error(cors_origins="https://me:hunter2@example.com")
    assert "'https://***@example.com' is no origin" in line
    assert "hunter2" not in line


def test_origins_and_any_origin_are_taken() -> None:
    origins = ("https://example.com", "http://localhost:3000", "http://[::1]:80", "*")
    assert load_settings(cors_origins=",".join(origins)).cors_origins == origins


def test_misspelled_names_are_found_wherever_they_are_stated(sources: SettingSources) -> None:
    sources.set_environment(TICKER="btc_usd", COLLECT_INTERVAL_SECOND="60", TERM_PROGRAM="x")
    sources.write_file(API_KEY="key", DATABASE_URI="x", COMPOSE_FILE="x", TICKERS="btc_usd")
    assert misspelled_settings() == {
        "API_KEY": "API_KEYS",
        "COLLECT_INTERVAL_SECOND": "COLLECT_INTERVAL_SECONDS",
        "DATABASE_URI": "DATABASE_URL",
        "TICKER": "TICKERS",
    }


def test_right_names_are_not_called_misspelled(sources: SettingSources) -> None:
    sources.set_environment(**{name.upper(): "x" for name in Settings.model_fields}, tickers="x")
    assert misspelled_settings() == {}


def test_two_senseless_settings_are_one_line() -> None:
    line = settings_error(api_port="x", tickers="a b\nc")
    assert "API_PORT=x: " in line
    assert "TICKERS=a b c: " in line
