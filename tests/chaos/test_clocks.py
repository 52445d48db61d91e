"""The machine's clock is a minute and a half off, while the exchange's is right."""

from pathlib import Path

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.crew import open_crew
from tests.processes import Processes, clock_off_by

SLOTS = 6
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
