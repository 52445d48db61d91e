"""The machine's clock is a minute and a half off, or the exchange's is wrong for a while."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.chaos.cluster import open_cluster
from tests.chaos.conftest import StartScenario
from tests.chaos.simulator import Simulator
from tests.chaos.stack import Stack
from tests.processes import Processes, clock_off_by

SLOTS = 6
AHEAD_SECONDS = 1_800
LASTS_SECONDS = 35
EVERYWHERE = {"servers", "worker", "beat"}
CLOCK_ERRORS = [
    (names, seconds) for names in (EVERYWHERE, {"worker"}, {"beat"}) for seconds in (90, -90)
]


def _describe(case: tuple[set[str], int]) -> str:
    where, seconds = case
    return f"by {seconds:+d} s " + ("everywhere" if where == EVERYWHERE else f"at the {min(where)}")


@pytest.mark.chaos("clock off", seconds=70)
@pytest.mark.parametrize("clock_error", CLOCK_ERRORS, ids=_describe)
async def test_a_wrong_clock_costs_no_slot(
    processes: Processes,
    data_dir: Path,
    start_scenario: StartScenario,
    clock_error: tuple[set[str], int],
) -> None:
    """No supervisor here: under libfaketime a thread of Python never wakes from a timed wait.

    The heartbeats, which are such threads, would be taken for those of processes that hang.
    """
    where, seconds = clock_error
    clocks = {name: clock_off_by(seconds) if name in where else {} for name in EVERYWHERE}
    async with open_cluster(processes, data_dir, **clocks["servers"]) as cluster:
        for name in ("worker", "beat"):
            cluster.start("app", name, env=clocks[name])
        scenario = await start_scenario(cluster)
        async with scenario.fault():
            await scenario.wait_for_live_slots(SLOTS)
        assert not (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("exchange's clock 30 min ahead for 35 s", seconds=90)
async def test_a_jump_of_the_exchanges_clock_leaves_nothing_in_the_future(
    stack: Stack, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="exchange_stamp_refused"):
        await exchange.set_clock_offset(AHEAD_SECONDS)
        await asyncio.sleep(LASTS_SECONDS)
        gaps = json.loads(await stack.command("gaps", "--json"))
        await exchange.set_clock_offset(0)
    assert all(gap["to"] <= time.time() for gap in gaps)
    result = await scenario.wait_for_recovery()
    assert {ticker for ticker, _ in result.lost} == {"btc_usd", "eth_usd"}
