"""What a scenario is played on, the longest first, and the table of all of them at the end."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.chaos.health import Health
from tests.chaos.needs import lacks
from tests.chaos.scenario import Scenario
from tests.chaos.service import Service
from tests.chaos.stack import Stack, running_stack
from tests.chaos.standin import StandIn, stand_in
from tests.chaos.table import table
from tests.processes import Processes

INTERVAL = 6
"""The finest step of Deribit's chart: each slot holds exactly one of its points."""
WARM_UP_SLOTS = 3
TABLE = "chaos"
NOTES = "chaos notes"
LOG_TAIL_CHARACTERS = 6_000

Begin = Callable[[Service], Awaitable[Scenario]]
Note = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the scenarios that take longest, or one of them would be waited for alone."""
    items.sort(key=lambda item: -_seconds(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say before the first scenario what the machine lacks for one of those chosen."""
    chosen = {item.path.name for item in session.items if item.get_closest_marker("chaos")}
    if lacking := [words for name, words in lacks().items() if name in chosen]:
        pytest.exit("these scenarios can't run here:\n" + "\n".join(lacking), returncode=2)


def _seconds(item: pytest.Item) -> int:
    marker = item.get_closest_marker("chaos")
    return int(marker.kwargs["seconds"]) if marker else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show how the logs of every process end when a scenario fails."""
    report = yield
    if report.failed and isinstance(item, pytest.Function) and item.get_closest_marker("chaos"):
        folders = [item.funcargs.get(name) for name in ("tmp_path", "home")]
        for log in (log for folder in folders if isinstance(folder, Path) for log in _logs(folder)):
            tail = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            report.sections.append((log.name, tail))
    return report


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each scenario cost."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [item for report in reports for item in report.user_properties]
    if lines := [tuple(value) for name, value in told if name == TABLE]:
        terminalreporter.section("chaos")
        notes = [value for name, value in told if name == NOTES]
        for line in (*table(lines), *notes):
            terminalreporter.write_line(line)


@pytest.fixture
def interval(request: pytest.FixtureRequest) -> int:
    """The seconds of a slot."""
    marker = request.node.get_closest_marker("chaos")
    return int(marker.kwargs.get("interval", INTERVAL))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A short-lived folder with a short name, for sockets; its logs stay with the others."""
    path = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield path
    for log in _logs(path):
        shutil.copy(log, tmp_path)
    shutil.rmtree(path)


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[StandIn]:
    """A stand-in exchange in a process of its own."""
    with Processes(Settings(), tmp_path) as processes:
        async with stand_in(processes) as running:
            yield running


@pytest.fixture
def processes(exchange: StandIn, tmp_path: Path, home: Path, interval: int) -> Iterator[Processes]:
    """Starts the service's processes, which know the exchange and a folder of their own."""
    settings = Settings(
        database_url=None,
        redis_url=None,
        deribit_base_url=exchange.api_url,
        collect_interval_seconds=interval,
        api_port=free_port(),
        api_keys="chaos-key",
        data_dir=home,
    )
    with Processes(settings, tmp_path) as started:
        yield started


@pytest.fixture
async def stack(processes: Processes) -> AsyncIterator[Stack]:
    """Everything, running."""
    async with running_stack(processes) as running:
        yield running


@pytest.fixture
def begin(
    exchange: StandIn,
    processes: Processes,
    interval: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> Begin:
    """Begins a scenario on a running service: some slots are recorded already."""
    title = _title(request.node)

    async def begun(service: Service) -> Scenario:
        scenario = Scenario(
            service,
            exchange,
            interval,
            Health(processes.settings.api_port),
            tell=lambda line: record_property(TABLE, [title, *line.cells()]),
        )
        await scenario.go_on(WARM_UP_SLOTS)
        return scenario

    return begun


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Adds a line below the table."""
    return partial(record_property, NOTES)


def _title(node: pytest.Function) -> str:
    marker = node.get_closest_marker("chaos")
    assert marker is not None
    (title,) = marker.args
    return f"{title} {node.callspec.id}" if hasattr(node, "callspec") else title
