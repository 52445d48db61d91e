"""Whether a child process is ready, has ended, or hangs."""

import asyncio

from app.supervisor.child_process import Process
from app.supervisor.probes import POLL_SECONDS, PROBE_TIMEOUT_SECONDS, probe_succeeds


async def readiness_failure(process: Process) -> str:
    """Wait until a child is ready; return why it did not become so, else an empty string."""
    spec = process.spec
    if spec.ready_probe is None:
        return ""
    try:
        async with asyncio.timeout(spec.ready_timeout_seconds):
            while not await probe_succeeds(spec.ready_probe):
                if await process.wait(POLL_SECONDS):
                    break
    except TimeoutError:
        return f"was not ready within {spec.ready_timeout_seconds:g} s"
    return "" if process.returncode is None else process.exit_description


async def wait_for_failure(process: Process) -> str:
    """Wait until a child ends or hangs; return which of the two, in words.

    It hangs if its liveness probe fails for too long, on the monotonic clock. Time in which the
    supervisor itself was suspended is not held against the child: each measurement adds at most
    the time that one probe and the pause before it can take.
    """
    spec, clock = process.spec, asyncio.get_running_loop().time
    max_step_seconds = spec.probe_interval_seconds + 2 * PROBE_TIMEOUT_SECONDS
    silent_seconds, measured_at = 0.0, clock()
    while not await process.wait(spec.probe_interval_seconds):
        if spec.liveness_probe is None or await probe_succeeds(spec.liveness_probe):
            silent_seconds = 0.0
        else:
            silent_seconds += min(clock() - measured_at, max_step_seconds)
        measured_at = clock()
        if silent_seconds > spec.liveness_timeout_seconds:
            return f"gave no heartbeat for {spec.liveness_timeout_seconds:g} s"
    return process.exit_description
