"""The price function: pure, exact, without a jump."""

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator import index_mean, index_price, index_prices
from app.simulator.recording import STEP_SECONDS, load

LENGTH = len(load().btc_cents)
HALF_CYCLE = (LENGTH - 1) * STEP_SECONDS
CYCLE = 2 * HALF_CYCLE

names = st.sampled_from(
    ["btc_usd", "eth_usd", "btc_usdc", "eth_btc", "sol_usdc", "usdc_usdt", "drbfix-btc_usdc"]
)
seconds = st.integers(0, 4_000_000_000)
near_turns = st.builds(
    lambda turn, off: turn * HALF_CYCLE + off, st.integers(1, 10_000), st.integers(-90, 90)
)


def steepest(name: str) -> Decimal:
    """The greatest move within one second: a sixtieth of the greatest minute, and the rounding."""
    prices = index_prices(name, range(0, CYCLE + 1, STEP_SECONDS))
    last_digit = Decimal(1).scaleb(int(prices[0].as_tuple().exponent))
    moves = (abs(right - left) for left, right in pairwise(prices))
    return max(moves) / STEP_SECONDS + 2 * last_digit


STEEPEST = {name: steepest(name) for name in ("btc_usd", "eth_usd", "sol_usdc")}


def test_recording_has_a_price_for_every_minute() -> None:
    assert (load().start, LENGTH, len(load().eth_cents)) == (1_754_599_620, 2_041, 2_041)


def test_whole_minutes_are_the_recorded_closes() -> None:
    cents = [int(price * 100) for price in index_prices("eth_usd", range(0, HALF_CYCLE + 1, 60))]
    assert tuple(cents) == load().eth_cents


@given(second=seconds | near_turns, name=st.sampled_from(sorted(STEEPEST)))
def test_price_never_jumps(second: int, name: str) -> None:
    move = index_price(name, second + 1) - index_price(name, second)
    assert abs(move) <= STEEPEST[name]


@given(name=names, second=seconds)
def test_price_returns_after_every_cycle(name: str, second: int) -> None:
    assert index_price(name, second) == index_price(name, second + CYCLE)


@given(name=names, turn=st.integers(1, 20_000), off=st.integers(0, HALF_CYCLE))
def test_recording_is_replayed_there_and_back(name: str, turn: int, off: int) -> None:
    turning_point = turn * HALF_CYCLE
    assert index_price(name, turning_point - off) == index_price(name, turning_point + off)


@given(name=names, start=seconds, count=st.integers(0, 20), step=st.integers(1, 100_000))
def test_columnar_prices_equal_single_ones(name: str, start: int, count: int, step: int) -> None:
    moments = range(start, start + count * step, step)
    assert index_prices(name, moments) == [index_price(name, moment) for moment in moments]


@given(name=names, start=seconds, length=st.integers(1, 60))
def test_mean_of_a_short_step_is_that_of_the_served_prices(
    name: str, start: int, length: int
) -> None:
    prices = index_prices(name, range(start, start + length))
    exact = sum(map(Fraction, prices), Fraction()) / length
    assert abs(Fraction(index_mean(name, start, length)) - exact) <= Fraction(1, 2_000_000)


@given(name=names, start=seconds | near_turns, length=st.integers(61, 3_000))
def test_mean_of_a_long_step_is_within_half_of_the_last_digit(
    name: str, start: int, length: int
) -> None:
    prices = index_prices(name, range(start, start + length))
    exact = sum(map(Fraction, prices), Fraction()) / length
    digit = Fraction(10) ** int(prices[0].as_tuple().exponent)
    assert abs(Fraction(index_mean(name, start, length)) - exact) <= digit / 2 + Fraction(1, 10**6)


def test_mean_of_many_cycles_is_that_of_one() -> None:
    assert index_mean("btc_usd", 0, CYCLE) == index_mean("btc_usd", 7 * CYCLE, 5 * CYCLE)


def test_mean_bears_no_trailing_zeros() -> None:
    assert not str(index_mean("btc_usd", 0, 1)).endswith("0")
    assert len(str(index_mean("btc_usd", 0, 7)).partition(".")[2]) <= 6


@pytest.mark.parametrize("name", ["btc_usd", "eth_usd", "btc_usdt", "eth_usdc"])
def test_dollar_prices_of_bitcoin_and_ether_have_two_decimals(name: str) -> None:
    assert index_price(name, 1_795_000_020).as_tuple().exponent == -2


def test_dollar_coins_stay_near_one() -> None:
    prices = index_prices("usdc_usdt", range(0, HALF_CYCLE, 600))
    assert all(Decimal("0.995") < price < Decimal("1.005") for price in prices)


@given(name=st.from_regex(r"[a-z0-9-]{1,9}_[a-z0-9]{1,5}", fullmatch=True), second=seconds)
def test_every_name_has_a_positive_price(name: str, second: int) -> None:
    assert index_price(name, second) > 0


def test_another_process_agrees() -> None:
    moment = 1_795_000_021
    program = f"from app.simulator import index_price as p; print(p('sol_usdc', {moment}))"
    other = subprocess.run(  # noqa: S603  our own interpreter, our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == str(index_price("sol_usdc", moment))
