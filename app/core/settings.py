"""Settings of every process: environment first, then `.env`, then what `make run` wrote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.errors import SettingsError

SECONDS_PER_DAY = 86_400
TESTNET_HOST = "test.deribit.com"
SERVERS_FILE = "servers.env"


class Settings(BaseSettings):
    """What can be set; `.env.example` describes every name."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    celery_broker_url: SecretStr | None = None
    deribit_base_url: str = "https://www.deribit.com/api/v2"
    tickers: Annotated[tuple[str, ...], NoDecode] = ("btc_usd", "eth_usd")
    collect_interval_seconds: int = Field(default=60, ge=1, le=SECONDS_PER_DAY)
    http_timeout_seconds: float = Field(default=10, gt=0, le=300)
    exchange_requests_per_second: float = Field(default=10, gt=0, le=100_000)
    exchange_connections: int = Field(default=8, ge=1, le=10_000)
    proxy_url: str | None = None
    proxy_username: str | None = None
    proxy_password: SecretStr | None = None
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65_535)
    api_workers: int = Field(default=1, ge=1, le=64)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] | None = None
    data_dir: Path = Path(".data")
    heartbeat_file: Path | None = None

    @field_validator(
        "database_url",
        "redis_url",
        "celery_broker_url",
        "proxy_url",
        "proxy_username",
        "proxy_password",
        "log_format",
        "heartbeat_file",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("tickers", "api_keys", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))

    @field_validator("tickers")
    @classmethod
    def _known_form(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(dict.fromkeys(ticker.lower() for ticker in value))
        if not lowered:
            msg = "name at least one ticker, such as btc_usd"
            raise ValueError(msg)
        for ticker in lowered:
            _require_ticker(ticker)
        return lowered

    @field_validator("collect_interval_seconds")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if SECONDS_PER_DAY % value:
            msg = "must divide a day (86400 seconds) without remainder"
            raise ValueError(msg)
        return value

    @field_validator("deribit_base_url")
    @classmethod
    def _base_without_public(cls, value: str) -> str:
        base = value.rstrip("/").removesuffix("/public").rstrip("/")
        _require_url(base, ("https", "http"))
        return base

    @field_validator("proxy_url")
    @classmethod
    def _http_proxy(cls, value: str | None) -> str | None:
        if value is not None:
            _require_url(value, ("http", "https"))
        return value

    @field_validator("database_url")
    @classmethod
    def _asyncpg(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("postgresql+asyncpg://"):
            msg = "must look like postgresql+asyncpg://user:password@host:port/name"
            raise ValueError(msg)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _require_url(value.get_secret_value(), ("redis", "rediss", "unix"))
        return value

    @field_validator("celery_broker_url")
    @classmethod
    def _broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _require_url(value.get_secret_value(), ("redis", "rediss", "amqp", "amqps"))
        return value

    @model_validator(mode="after")
    def _credentials_need_a_proxy(self) -> Self:
        if self.proxy_url is None and (self.proxy_username or self.proxy_password):
            msg = "PROXY_USERNAME and PROXY_PASSWORD need PROXY_URL"
            raise ValueError(msg)
        return self

    @property
    def deribit_name(self) -> str:
        """The name under which Deribit's prices are stored: the testnet is another exchange."""
        host = urlsplit(self.deribit_base_url).hostname
        return "deribit-test" if host == TESTNET_HOST else "deribit"

    @property
    def indices(self) -> tuple[tuple[str, str], ...]:
        """The configured indices as pairs of exchange and ticker, without doubles."""
        pairs = (ticker.rpartition(":") for ticker in self.tickers)
        return tuple(
            dict.fromkeys((exchange or self.deribit_name, name) for exchange, _, name in pairs)
        )

    @property
    def request_timeout_seconds(self) -> float:
        """The time one exchange request may take: never more than half an interval."""
        return min(self.http_timeout_seconds, self.collect_interval_seconds / 2)


class _Place(BaseSettings):
    """Where the data lies, known before the other settings are read from there."""

    model_config = SettingsConfigDict(extra="ignore", env_file=".env")

    data_dir: Path = Path(".data")


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment, `.env` and the embedded servers' file, in this order.

    Raises:
        SettingsError: a setting makes no sense; the message is one line.
    """
    try:
        place = Path(str(overrides.get("data_dir") or _Place().data_dir))
        files = (place / SERVERS_FILE, ".env")
        return Settings(_env_file=files, **overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(error))) from None


def _explain(error: ValidationError) -> Iterator[str]:
    """Put each fault into words: the setting, its value unless secret, what is allowed."""
    for fault in error.errors():
        if not fault["loc"]:
            yield fault["msg"].removeprefix("Value error, ")
            continue
        name = str(fault["loc"][0])
        yield f"{name.upper()}={_shown(name, fault)}: {fault['msg'].removeprefix('Value error, ')}"


def _shown(name: str, fault: ErrorDetails) -> str:
    annotation = str(Settings.model_fields[name].annotation)
    has_secret = "SecretStr" in annotation or name.endswith("_url")
    return "(hidden)" if has_secret else str(fault["input"])


def _require_ticker(ticker: str) -> None:
    exchange, colon, name = ticker.rpartition(":")
    parts = (exchange, name) if colon else (name,)
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-.")
    if not all(part and set(part) <= allowed for part in parts):
        msg = f"{ticker!r} is not a ticker: write btc_usd or exchange:ticker, separated by commas"
        raise ValueError(msg)


def _require_url(url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not (parts.netloc or parts.path):
        msg = "must be a URL that starts with " + " or ".join(f"{s}://" for s in schemes)
        raise ValueError(msg)
