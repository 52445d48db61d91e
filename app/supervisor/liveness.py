"""The judgement over a running child: is it ready, has it died, does it hang?"""

import asyncio

from app.supervisor.probes import PROBE_SECONDS, answers, until
from app.supervisor.processes import Process, ProcessSpec


async def why_unready(process: Process) -> str:
    """Wait until a child is ready; return why it is not, else an empty string."""
    child = process.child
    if child.ready is None:
        return ""
    ready = asyncio.create_task(until(child.ready))
    ended = asyncio.create_task(process.ended())
    try:
        done, _ = await asyncio.wait(
            {ready, ended}, timeout=child.ready_seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        ready.cancel()
        ended.cancel()
    if ended in done:
        return process.outcome
    if ready not in done:
        return f"was not ready within {child.ready_seconds:g} s"
    ready.result()  # a probe that broke is a fault of ours
    return ""


async def why_dead(process: Process) -> str:
    """Wait until a child ends or hangs and return which."""
    child = process.child
    silence = SilenceTimer(child)
    while not await process.ended(child.look_seconds):
        if await silence.listen() > child.silence_seconds:
            return f"gave no sign of life for {child.silence_seconds:g} s"
    return process.outcome


class SilenceTimer:
    """The seconds since a child's last sign of life, on the monotonic clock.

    Time in which the supervisor itself did not run, because it was suspended, is not held against
    the child: between two looks at most the time that they take counts.
    """

    def __init__(self, child: ProcessSpec) -> None:
        self._alive = child.alive
        self._longest_look = child.look_seconds + 2 * PROBE_SECONDS
        self._clock = asyncio.get_running_loop().time
        self._looked = self._clock()
        self._seconds = 0.0

    async def listen(self) -> float:
        """Look for a sign of life and return the seconds of silence."""
        if self._alive is None or await answers(self._alive):
            self._seconds = 0.0
        else:
            self._seconds += min(self._clock() - self._looked, self._longest_look)
        self._looked = self._clock()
        return self._seconds
