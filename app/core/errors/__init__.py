"""The tree of named errors.

AppError
├── SettingsError                    a setting is invalid
├── ServersUnknown                   no database or broker is configured
├── SchemaOutdated                   the database's schema is older than the code
├── DatabaseTooOld                   PostgreSQL is older than the service can use
├── DatabaseUnavailable              PostgreSQL does not answer
│   ├── DatabaseFull                 PostgreSQL refuses writes, for its disk is full
│   └── DatabaseBlocked              PostgreSQL keeps a write waiting
├── BrokerUnavailable                Redis (or RabbitMQ) does not answer
├── CollectionRunning                another tick collects the same tickers
├── CollectionFailed                 a tick could not store a price of every ticker
├── RepairRunning                    another repair is under way
├── RepairFailed                     a repair failed for some tickers
├── ImportRefused                    a file can't be imported, or one of its lines
├── TooManyExports                   this process serves its maximum of exports
├── TooManyStreams                   this process serves its maximum of open streams
├── ParametersInvalid                a request parameter is invalid
├── KeyMissing, KeyRefused           a write endpoint was called without a valid key
├── TickerNotFound, NoPriceYet, PriceTooOld, NoPriceNear, TaskNotFound
└── ExchangeError                    carries `retryable`
    ├── ExchangeUnreachable          refused, reset, unresolvable
    ├── ExchangeTimeout              no answer in time
    ├── ExchangeRateLimited          too many requests, or too many at once
    ├── ExchangeMaintenance          down for maintenance, or closed to the public for now
    ├── ExchangeUnavailable          a temporary fault on their side
    ├── AnswerMalformed              not the documented JSON
    ├── PriceRefused                 not a finite number above 0 and up to 10^12
    ├── TimestampRefused             its timestamp is implausible
    ├── UnknownIndex                 no index of that name
    ├── RequestRejected              refused, and a retry won't help
    ├── EnvironmentMismatch          testnet prices from a production URL, or the reverse
    ├── RedirectRefused              a redirect away from https
    └── ProxyRefused                 the proxy wants other credentials
"""

from app.core.errors.base import *  # noqa: F403  # every name of the tree, from one place
from app.core.errors.exchange import *  # noqa: F403  # same
from app.core.errors.service import *  # noqa: F403  # same
