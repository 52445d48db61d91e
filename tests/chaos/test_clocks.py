"""The machine's clock is a minute and a half off, or the exchange's is wrong for a while."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.crew import open_crew
from tests.chaos.stack import Stack
from tests.chaos.standin import StandIn
from tests.processes import Processes, clock_off_by

SLOTS = 6
AHEAD_SECONDS = 1_800
LASTS_SECONDS = 35
EVERYWHERE = {"servers", "worker", "beat"}
WRONG = [
    (set_wrong, seconds)
    for set_wrong in (EVERYWHERE, {"worker"}, {"beat"})
    for seconds in (90, -90)
]


def _words(case: tuple[set[str], int]) -> str:
    where, seconds = case
    return f"by {seconds:+d} s " + ("everywhere" if where == EVERYWHERE else f"at the {min(where)}")


@pytest.mark.chaos("clock off", seconds=70)
@pytest.mark.parametrize("wrong", WRONG, ids=_words)
async def test_a_wrong_clock_costs_no_slot(
    processes: Processes, home: Path, begin: Begin, wrong: tuple[set[str], int]
) -> None:
    """No supervisor here: under libfaketime a thread of Python never wakes from a timed wait.

    The heartbeats, which are such threads, would be taken for those of processes that hang.
    """
    where, seconds = wrong
    clocks = {name: clock_off_by(seconds) if name in where else {} for name in EVERYWHERE}
    async with open_crew(processes, home, **clocks["servers"]) as crew:
        for name in ("worker", "beat"):
            crew.start("app", name, env=clocks[name])
        scenario = await begin(crew)
        async with scenario.fault():
            await scenario.go_on(SLOTS)
        assert not (await scenario.whole()).lost


@pytest.mark.chaos("exchange's clock 30 min ahead for 35 s", seconds=90)
async def test_a_jump_of_the_exchanges_clock_leaves_nothing_in_the_future(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="exchange_stamp_refused"):
        await exchange.move_clock(AHEAD_SECONDS)
        await asyncio.sleep(LASTS_SECONDS)
        gaps = json.loads(await stack.command("gaps", "--json"))
        await exchange.move_clock(0)
    assert all(gap["to"] <= time.time() for gap in gaps)
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd", "eth_usd"}
