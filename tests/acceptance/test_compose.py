"""docker-compose.yml run for real: order, health, data that stays, processes that hang."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.supervisor.ports import free_port

pytestmark = pytest.mark.accept

PROJECT = Path(__file__).resolve().parents[2]
LAB = PROJECT.parent / "shared/compose-lab/compose-lab"
SERVICES = {"postgres", "redis", "api", "worker", "beat"}
TICKERS = ("btc_usd", "eth_usd")
INTERVAL = 60
TIMEOUT_SECONDS = INTERVAL + 20
MIB = 2**20
POLL_SECONDS = 1.0

STOP_SERVICE = """
for process in /proc/[0-9]*; do
  [ "$(cut -d' ' -f4 $process/stat)" = 1 ] || continue
  case "$(tr '\\0' ' ' < $process/cmdline)" in
    *"-m app $1 ") kill -STOP ${process#/proc/} && echo ${process#/proc/} && exit ;;
  esac
done
exit 1
"""
"""Stops the one child of process 1 that is the service, and prints its number."""
STATES = "cat /proc/[0-9]*/stat | cut -d' ' -f1,3"


@cache
def docker_and_compose() -> tuple[list[str], list[str]]:
    """Return the commands of docker and compose, or skip the test."""
    if LAB.exists():
        return [str(LAB), "docker"], [str(LAB), "compose"]
    docker = shutil.which("docker")
    if docker is None or subprocess.call([docker, "info"], stdout=subprocess.DEVNULL):  # noqa: S603  # only asks
        pytest.skip("no Docker engine can be reached, and there is no compose-lab")
    return [docker], [docker, "compose"]


@dataclass(frozen=True)
class Compose:
    """A compose project, isolated from every other one on the machine."""

    name: str
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> str:
        """Call compose, which must succeed."""
        return self._call(1, arguments)

    def docker(self, *arguments: str) -> str:
        """Call docker, which must succeed."""
        return self._call(0, arguments)

    def exec_in(self, service: str, *command: str) -> str:
        """Run a command in a service's container."""
        return self.docker("exec", self.container_id(service), *command)

    def container_id(self, service: str) -> str:
        """Give the id of a service's container, running or not."""
        label = f"label=com.docker.compose.service={service}"
        return self.docker("ps", "-aq", "--filter", self.label_filter, "--filter", label).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Give what docker knows of a service's container."""
        found: dict[str, Any] = json.loads(self.docker("inspect", self.container_id(service)))[0]
        return found

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Ask the API; None while it does not answer with 200."""
        url = f"http://127.0.0.1:{self.environment['API_PORT']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except (OSError, urllib.error.HTTPError):
            return None

    def slots(self, ticker: str) -> list[int]:
        """Give the slots that are stored of a ticker."""
        page = self.get(f"/api/v1/prices?ticker={ticker}") or {"items": []}
        return [item["timestamp"] for item in page["items"]]

    def is_healthy(self) -> bool:
        """Tell whether every service is."""
        states = [self.inspect(service)["State"] for service in SERVICES]
        return all(state.get("Health", {}).get("Status") == "healthy" for state in states)

    def leftovers(self) -> list[str]:
        """Name every container, network and volume of this project."""
        listings = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
        found = [self.docker(*listing, "--filter", self.label_filter) for listing in listings]
        return [line for lines in found for line in lines.splitlines()]

    @property
    def label_filter(self) -> str:
        return f"label=com.docker.compose.project={self.name}"

    def _call(self, which: int, arguments: tuple[str, ...]) -> str:
        called = subprocess.run(  # noqa: S603  # docker and compose
            [*docker_and_compose()[which], *arguments],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert called.returncode == 0, called.stdout + called.stderr
        return called.stdout


def wait(
    condition: Callable[[], object], seconds: float, poll_seconds: float = POLL_SECONDS
) -> None:
    """Wait until a condition holds; give up with an error after so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(poll_seconds)


@contextmanager
def open_project(**settings: str) -> Iterator[Compose]:
    """Open a compose project, and remove everything of it at the end."""
    docker_and_compose()
    name = f"prices-{uuid4().hex[:8]}"
    inherited = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    project_settings = {"COMPOSE_PROJECT_NAME": name, "API_PORT": str(free_port()), **settings}
    compose = Compose(name, {**inherited, **project_settings})
    try:
        yield compose
    finally:
        compose("down", "-v")
        assert compose.leftovers() == []


@pytest.fixture(scope="module")
def exchange_url() -> Iterator[str]:
    """The URL of a simulated exchange on the host, as containers reach it."""
    port = free_port()
    command = ["-m", "app", "exchange", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    with subprocess.Popen([sys.executable, *command], cwd=PROJECT) as exchange:  # noqa: S603
        yield f"http://host.docker.internal:{port}/api/v2"
        exchange.terminate()


@pytest.fixture(scope="module")
def compose(exchange_url: str) -> Iterator[Compose]:
    """The whole service, built, started and healthy."""
    with open_project(DERIBIT_BASE_URL=exchange_url) as compose:
        compose("up", "--build", "-d")
        wait(compose.is_healthy, 60)
        yield compose


def test_the_migration_ended_with_0(compose: Compose) -> None:
    state = compose.inspect("migrate")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_the_api_is_published_on_loopback_only(compose: Compose) -> None:
    ports = compose.inspect("api")["NetworkSettings"]["Ports"]
    assert [binding["HostIp"] for binding in ports["8000/tcp"]] == ["127.0.0.1"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_process_is_root_or_can_become_so(compose: Compose, service: str) -> None:
    status = compose.exec_in(service, "cat", "/proc/1/status")
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert compose.inspect(service)["HostConfig"]["ReadonlyRootfs"]


def test_the_image_is_small_and_holds_no_build_tools(
    compose: Compose, record_testsuite_property: Callable[[str, object], None]
) -> None:
    image = compose.inspect("api")["Image"]
    whole, base = (
        int(compose.docker("image", "inspect", "--format", "{{.Size}}", name))
        for name in (image, "python:3.13-slim")
    )
    record_testsuite_property("image_beyond_its_base_mib", (whole - base) // MIB)
    assert whole - base < 250 * MIB
    find_tools = "for tool in pip gcc cc make; do command -v $tool; done; true"
    assert compose.exec_in("api", "sh", "-c", find_tools) == ""


def test_the_api_is_ready_within_five_seconds(
    compose: Compose, record_testsuite_property: Callable[[str, object], None]
) -> None:
    compose("stop", "api")
    began = time.monotonic()
    compose.docker("start", compose.container_id("api"))
    wait(lambda: compose.get("/health/ready"), 5, poll_seconds=0.1)
    seconds = time.monotonic() - began
    record_testsuite_property("seconds_from_start_to_ready", round(seconds, 1))
    assert seconds < 5
    wait(compose.is_healthy, 60)


def test_prices_arrive_on_schedule(compose: Compose) -> None:
    """Look at slots from now on: another test may have stopped what came before."""
    count_before = {ticker: len(compose.slots(ticker)) for ticker in TICKERS}
    wait(
        lambda: all(len(compose.slots(ticker)) > count_before[ticker] for ticker in TICKERS),
        TIMEOUT_SECONDS,
    )
    for ticker in TICKERS:
        newest = compose.slots(ticker)[-1]
        assert newest % INTERVAL == 0
        assert 0 <= time.time() - newest < TIMEOUT_SECONDS


def test_down_and_up_lose_no_row(compose: Compose) -> None:
    wait(lambda: all(compose.slots(ticker) for ticker in TICKERS), TIMEOUT_SECONDS)
    before = {ticker: compose.slots(ticker) for ticker in TICKERS}
    compose("down")
    compose("up", "-d")
    wait(compose.is_healthy, 60)
    for ticker, slots in before.items():
        assert compose.slots(ticker)[: len(slots)] == slots


def test_hung_worker_and_beat_run_again_within_three_minutes(
    compose: Compose, record_testsuite_property: Callable[[str, object], None]
) -> None:
    stopped_pids = {
        name: compose.exec_in(name, "sh", "-c", STOP_SERVICE, "sh", name).strip()
        for name in ("worker", "beat")
    }
    began, recovered = time.monotonic(), dict[str, float]()

    def have_all_recovered() -> bool:
        for name in stopped_pids.keys() - recovered.keys():
            if (
                f"{stopped_pids[name]} T"
                not in compose.exec_in(name, "sh", "-c", STATES).splitlines()
            ):
                recovered[name] = time.monotonic() - began
                record_testsuite_property(f"seconds_to_recover_{name}", round(recovered[name]))
        return recovered.keys() == stopped_pids.keys() and compose.is_healthy()

    wait(have_all_recovered, 180)
    stored = len(compose.slots("btc_usd"))
    wait(lambda: len(compose.slots("btc_usd")) > stored, TIMEOUT_SECONDS)


def test_down_with_volumes_leaves_nothing() -> None:
    with open_project() as compose:
        compose("up", "-d", "migrate")
        assert compose.leftovers()
        compose("down", "-v")
        assert compose.leftovers() == []
