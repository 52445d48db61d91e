"""A stand-in for Deribit: the same methods on a port of this machine, and faults on demand."""

from app.local.exchange.faults import Fault
from app.local.exchange.kinds import FaultError
from app.local.exchange.options import ExchangeOptions, OptionError
from app.local.exchange.prices import index_mean, index_price, index_prices
from app.local.exchange.process import run, serve
from app.local.exchange.record import RequestRecord
from app.local.exchange.server import Exchange
from app.local.exchange.timing import Spread

__all__ = [
    "Exchange",
    "ExchangeOptions",
    "Fault",
    "FaultError",
    "OptionError",
    "RequestRecord",
    "Spread",
    "index_mean",
    "index_price",
    "index_prices",
    "run",
    "serve",
]
