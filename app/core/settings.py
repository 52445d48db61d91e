"""Settings of every process: the environment first, then `.env`, then `servers.env`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.errors import SettingsError
from app.core.urls import (
    Proxy,
    mask_credentials,
    normalize_broker_url,
    normalize_redis_url,
    require_database_url,
    require_host,
    require_http_url,
    require_origin,
    require_plain_url,
)

SECONDS_PER_DAY = 86_400
HOURS_PER_CENTURY = 876_600
TESTNET_HOST = "test.deribit.com"
ENV_FILE = ".env"
SERVERS_FILE = "servers.env"
EMBEDDED_URLS = ("database_url", "redis_url", "deribit_base_url")
MAX_SHOWN_CHARACTERS = 120


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return value


def _split_commas(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def _require_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        require_origin(origin)
    return value


def _valid_tickers(value: tuple[str, ...]) -> tuple[str, ...]:
    lowered = tuple(dict.fromkeys(ticker.lower() for ticker in value))
    if not lowered:
        raise ValueError("name at least one ticker, such as btc_usd")
    for ticker in lowered:
        _require_ticker(ticker)
    return lowered


def _divides_a_day(value: int) -> int:
    if SECONDS_PER_DAY % value:
        raise ValueError("must divide a day (86400 seconds) without remainder")
    return value


def _base_without_public(value: str) -> str:
    base = value.strip().rstrip("/").removesuffix("/public").rstrip("/")
    return require_plain_url(base)


def _secret(normalize: Callable[[str], str]) -> AfterValidator:
    """Check and normalize the text of a secret that is set."""
    return AfterValidator(lambda secret: secret and SecretStr(normalize(secret.get_secret_value())))


EMPTY_IS_NONE = BeforeValidator(lambda value: None if value == "" else value)
NOT_EMPTY = BeforeValidator(_not_empty)
LOWER = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
COMMA_SEPARATED = BeforeValidator(_split_commas)
OptionalSecret: TypeAlias = Annotated[SecretStr | None, EMPTY_IS_NONE]
HttpUrl: TypeAlias = Annotated[OptionalSecret, _secret(require_http_url)]


class Settings(BaseSettings):
    """All settings; `.env.example` describes each of them."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: Annotated[OptionalSecret, _secret(require_database_url)] = None
    redis_url: Annotated[OptionalSecret, _secret(normalize_redis_url)] = None
    celery_broker_url: Annotated[OptionalSecret, _secret(normalize_broker_url)] = None
    deribit_base_url: Annotated[str, AfterValidator(_base_without_public)] = (
        "https://www.deribit.com/api/v2"
    )
    tickers: Annotated[
        tuple[str, ...], NoDecode, COMMA_SEPARATED, AfterValidator(_valid_tickers)
    ] = ("btc_usd", "eth_usd")
    collect_interval_seconds: Annotated[
        int, Field(ge=1, le=SECONDS_PER_DAY), AfterValidator(_divides_a_day)
    ] = 60
    backfill_lookback_hours: int = Field(default=48, ge=1, le=HOURS_PER_CENTURY)
    http_timeout_seconds: float = Field(default=10, gt=0, le=300, allow_inf_nan=False)
    exchange_requests_per_second: float = Field(
        default=10, ge=0.01, le=100_000, allow_inf_nan=False
    )
    exchange_connections: int = Field(default=8, ge=1, le=10_000)
    proxy_url: HttpUrl = None
    proxy_username: Annotated[str | None, EMPTY_IS_NONE] = None
    proxy_password: OptionalSecret = None
    api_host: Annotated[str, NOT_EMPTY, AfterValidator(require_host)] = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    api_workers: int = Field(default=1, ge=1, le=64)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, COMMA_SEPARATED] = ()
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, COMMA_SEPARATED, AfterValidator(_require_origins)
    ] = ()
    read_memory_megabytes: int = Field(default=64, ge=0, le=1_000_000)
    max_streams: int = Field(default=2_000, ge=0, le=1_000_000)
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LOWER] = "info"
    log_format: Annotated[Literal["json", "console"] | None, EMPTY_IS_NONE, LOWER] = None
    alert_webhook_url: HttpUrl = None
    data_dir: Annotated[Path, NOT_EMPTY] = Path(".data")
    heartbeat_file: Annotated[Path | None, EMPTY_IS_NONE] = None

    @model_validator(mode="after")
    def _credentials_need_a_proxy(self) -> Self:
        if self.proxy_url is None and (self.proxy_username or self.proxy_password):
            raise ValueError("PROXY_USERNAME and PROXY_PASSWORD need PROXY_URL")
        if self.proxy_password is not None and self.proxy_username is None:
            raise ValueError("PROXY_PASSWORD needs PROXY_USERNAME")
        if self.proxy is not None and ":" in (self.proxy.username or ""):
            raise ValueError("PROXY_USERNAME must not hold a colon (RFC 7617)")
        return self

    @property
    def proxy(self) -> Proxy | None:
        """The exchange client's proxy; PROXY_USERNAME wins over credentials in its URL."""
        if self.proxy_url is None:
            return None
        proxy = Proxy.parse(self.proxy_url.get_secret_value())
        if self.proxy_username is None:
            return proxy
        password = self.proxy_password or SecretStr("")
        return replace(proxy, username=self.proxy_username, password=password)

    @property
    def deribit_exchange_name(self) -> str:
        """The name under which Deribit's prices are stored: the testnet is another exchange."""
        host = urlsplit(self.deribit_base_url).hostname
        return "deribit-test" if host == TESTNET_HOST else "deribit"

    @property
    def indices(self) -> tuple[tuple[str, str], ...]:
        """The configured indices as pairs of exchange and ticker, without duplicates."""
        pairs = (ticker.rpartition(":") for ticker in self.tickers)
        return tuple(
            dict.fromkeys(
                (exchange or self.deribit_exchange_name, name) for exchange, _, name in pairs
            )
        )

    @property
    def request_timeout_seconds(self) -> float:
        """The timeout of one exchange request: at most half an interval."""
        return min(self.http_timeout_seconds, self.collect_interval_seconds / 2)


def load_settings(**overrides: object) -> Settings:
    """Load the settings from overrides, the environment, `.env` and `servers.env`, in this order.

    An empty server URL means the embedded server.

    Raises:
        SettingsError: a setting is invalid; the message is one line.
    """
    try:
        configured = _read(overrides)
        return _read({**_embedded_urls(configured), **overrides})
    except ValidationError as error:
        raise SettingsError("; ".join(_messages(error))) from None
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"{ENV_FILE} or {SERVERS_FILE} can't be read ({type(error).__name__})"
        ) from None


def _read(overrides: Mapping[str, object]) -> Settings:
    return Settings(_env_file=ENV_FILE, **overrides)  # type: ignore[arg-type]  # pydantic checks them


def _embedded_urls(configured: Settings) -> dict[str, object]:
    """Return the URLs that `make run` or `make demo` wrote, of servers that are not configured."""
    written = dotenv_values(configured.data_dir / SERVERS_FILE)
    urls = {name: written.get(name.upper()) for name in EMBEDDED_URLS}
    is_set = configured.model_dump(exclude_unset=True, exclude_none=True)
    return {name: url for name, url in urls.items() if url and name not in is_set}


def _messages(error: ValidationError) -> Iterator[str]:
    """Describe each fault: the setting, its value unless secret, and what is allowed."""
    for fault in error.errors():
        message = fault["msg"].removeprefix("Value error, ")
        if fault["loc"]:
            name = str(fault["loc"][0])
            message = f"{name.upper()}={_shown(name, fault)}: {message}"
        yield message


def _shown(name: str, fault: ErrorDetails) -> str:
    if "SecretStr" in str(Settings.model_fields[name].annotation):
        return "(hidden)"
    value = fault["input"]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return " ".join(mask_credentials(text).split())[:MAX_SHOWN_CHARACTERS]


def _require_ticker(ticker: str) -> None:
    exchange, colon, name = ticker.rpartition(":")
    parts = (exchange, name) if colon else (name,)
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-.")
    if not all(part and set(part) <= allowed for part in parts):
        raise ValueError(
            f"{ticker!r} is not a ticker: write btc_usd or exchange:ticker, separated by commas"
        )
