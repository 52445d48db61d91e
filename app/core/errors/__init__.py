"""The error tree: every failure that has a name.

AppError
├── SettingsError                    a setting makes no sense
├── ServersUnknown                   no database or broker is configured
├── SchemaOutdated                   the database's schema is older than the code
├── DatabaseTooOld                   PostgreSQL is older than the service can use
├── DatabaseUnavailable              PostgreSQL does not answer
│   └── DatabaseFull                 PostgreSQL refuses writes, for its disk is full
├── BrokerUnavailable                Redis (or RabbitMQ) does not answer
├── CollectionRunning                another tick collects the same tickers
├── CollectionFailed                 a tick could not store every ticker that was due
├── RepairRunning                    another repair is under way
├── RepairFailed                     a repair could not ask for every ticker
├── ImportRefused                    a file can't be imported, or one of its lines
├── TooManyExports                   as many are under way as one process serves at once
├── ParametersInvalid                a parameter of a request makes no sense
├── KeyMissing, KeyRefused           a write endpoint was called without a right key
├── TickerNotFound, NoPriceYet, PriceTooOld, NoPriceNear, TaskNotFound
└── ExchangeError                    carries `retryable`
    ├── ExchangeUnreachable          refused, reset, unresolvable
    ├── ExchangeTimeout              no answer in time
    ├── ExchangeRateLimited          too many requests, or too many at once
    ├── ExchangeMaintenance          down for maintenance, or closed to the public for now
    ├── ExchangeUnavailable          a fault on their side that passes
    ├── AnswerMalformed              not the documented JSON
    ├── PriceRefused                 not a finite number above 0 and up to 10^12
    ├── StampRefused                 stamped over an hour away from the database's clock
    ├── UnknownIndex                 no index of that name
    ├── RequestRejected              refused for a reason that asking again won't change
    ├── EnvironmentMismatch          testnet prices from a production URL, or the reverse
    ├── RedirectRefused              a redirect away from https
    └── ProxyRefused                 the proxy wants other credentials
"""

from app.core.errors.base import AppError
from app.core.errors.exchange import (
    AnswerMalformed,
    EnvironmentMismatch,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRateLimited,
    ExchangeTimeout,
    ExchangeUnavailable,
    ExchangeUnreachable,
    PriceRefused,
    ProxyRefused,
    RedirectRefused,
    RequestRejected,
    StampRefused,
    UnknownIndex,
)
from app.core.errors.service import (
    BrokerUnavailable,
    CollectionFailed,
    CollectionRunning,
    DatabaseFull,
    DatabaseTooOld,
    DatabaseUnavailable,
    ImportRefused,
    KeyMissing,
    KeyRefused,
    NoPriceNear,
    NoPriceYet,
    ParametersInvalid,
    PriceTooOld,
    RepairFailed,
    RepairRunning,
    SchemaOutdated,
    ServersUnknown,
    SettingsError,
    TaskNotFound,
    TickerNotFound,
    TooManyExports,
)

__all__ = [
    "AnswerMalformed",
    "AppError",
    "BrokerUnavailable",
    "CollectionFailed",
    "CollectionRunning",
    "DatabaseFull",
    "DatabaseTooOld",
    "DatabaseUnavailable",
    "EnvironmentMismatch",
    "ExchangeError",
    "ExchangeMaintenance",
    "ExchangeRateLimited",
    "ExchangeTimeout",
    "ExchangeUnavailable",
    "ExchangeUnreachable",
    "ImportRefused",
    "KeyMissing",
    "KeyRefused",
    "NoPriceNear",
    "NoPriceYet",
    "ParametersInvalid",
    "PriceRefused",
    "PriceTooOld",
    "ProxyRefused",
    "RedirectRefused",
    "RepairFailed",
    "RepairRunning",
    "RequestRejected",
    "SchemaOutdated",
    "ServersUnknown",
    "SettingsError",
    "StampRefused",
    "TaskNotFound",
    "TickerNotFound",
    "TooManyExports",
    "UnknownIndex",
]
