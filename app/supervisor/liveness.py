"""Whether a child process is ready, has ended, or hangs."""

import asyncio

from app.supervisor.probes import PROBE_TIMEOUT_SECONDS, probe_succeeds, wait_for_probe
from app.supervisor.processes import Process, ProcessSpec


async def readiness_failure(process: Process) -> str:
    """Wait until a child is ready; return why it did not become so, else an empty string."""
    spec = process.spec
    if spec.ready_probe is None:
        return ""
    is_ready = asyncio.create_task(wait_for_probe(spec.ready_probe))
    has_ended = asyncio.create_task(process.wait())
    try:
        done, _ = await asyncio.wait(
            {is_ready, has_ended},
            timeout=spec.ready_timeout_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        is_ready.cancel()
        has_ended.cancel()
    if has_ended in done:
        return process.exit_description
    if is_ready not in done:
        return f"was not ready within {spec.ready_timeout_seconds:g} s"
    is_ready.result()  # raises the error of a probe that is broken
    return ""


async def wait_for_failure(process: Process) -> str:
    """Wait until a child ends or hangs; return which of the two, in words."""
    spec = process.spec
    silence = SilenceTimer(spec)
    while not await process.wait(spec.probe_interval_seconds):
        if await silence.measure() > spec.liveness_timeout_seconds:
            return f"gave no sign of life for {spec.liveness_timeout_seconds:g} s"
    return process.exit_description


class SilenceTimer:
    """Counts the seconds since a child's liveness probe last succeeded, on the monotonic clock.

    Time in which the supervisor itself was suspended is not held against the child: each
    measurement adds at most the time that one probe and the pause before it can take.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self._probe = spec.liveness_probe
        self._max_step_seconds = spec.probe_interval_seconds + 2 * PROBE_TIMEOUT_SECONDS
        self._clock = asyncio.get_running_loop().time
        self._measured_at = self._clock()
        self._silent_seconds = 0.0

    async def measure(self) -> float:
        """Run the liveness probe and return the seconds of silence, 0 if it succeeded."""
        if self._probe is None or await probe_succeeds(self._probe):
            self._silent_seconds = 0.0
        else:
            passed = self._clock() - self._measured_at
            self._silent_seconds += min(passed, self._max_step_seconds)
        self._measured_at = self._clock()
        return self._silent_seconds
