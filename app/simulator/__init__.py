"""Simulates Deribit: the same methods on a port of this machine, and faults on demand."""

from app.simulator.clock_and_delay import JitteredMilliseconds
from app.simulator.fault_kinds import FaultError
from app.simulator.options import ExchangeOptions
from app.simulator.prices import index_mean, index_price, index_prices
from app.simulator.process import run
from app.simulator.server import Exchange

__all__ = [
    "Exchange",
    "ExchangeOptions",
    "FaultError",
    "JitteredMilliseconds",
    "index_mean",
    "index_price",
    "index_prices",
    "run",
]
