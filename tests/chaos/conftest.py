"""Fixtures of the scenarios, their order (the longest first), and the table of their results."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.chaos.health import HealthMonitor
from tests.chaos.requirements import missing_requirements
from tests.chaos.scenario import Scenario
from tests.chaos.service import Service
from tests.chaos.simulator import Simulator, running_simulator
from tests.chaos.stack import Stack, running_stack
from tests.chaos.summary_table import format_table
from tests.processes import Processes

INTERVAL = 6
"""The finest step of Deribit's chart: each slot holds exactly one of its points."""
WARM_UP_SLOTS = 3
TABLE = "chaos"
NOTES = "chaos notes"
LOG_TAIL_CHARACTERS = 6_000

StartScenario = Callable[[Service], Awaitable[Scenario]]
AddNote = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest scenarios first, so that none of them is waited for alone at the end."""
    items.sort(key=lambda item: -_seconds(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop before the first scenario if the machine lacks something that a chosen one needs."""
    chosen = {item.path.name for item in session.items if item.get_closest_marker("chaos")}
    if missing := [words for name, words in missing_requirements().items() if name in chosen]:
        pytest.exit("these scenarios can't run here:\n" + "\n".join(missing), returncode=2)


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
        folders = [item.funcargs.get(name) for name in ("tmp_path", "data_dir")]
        for log in (log for folder in folders if isinstance(folder, Path) for log in _logs(folder)):
            tail = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            report.sections.append((log.name, tail))
    return report


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the results of all scenarios as a table."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    properties = [item for report in reports for item in report.user_properties]
    if lines := [tuple(value) for name, value in properties if name == TABLE]:
        terminalreporter.section("chaos")
        notes = [value for name, value in properties if name == NOTES]
        for line in (*format_table(lines), *notes):
            terminalreporter.write_line(line)


@pytest.fixture
def interval(request: pytest.FixtureRequest) -> int:
    """The length of a slot in seconds."""
    marker = request.node.get_closest_marker("chaos")
    return int(marker.kwargs.get("interval", INTERVAL))


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder with a short path, as sockets need; its logs are copied to `tmp_path`."""
    path = Path(tempfile.mkdtemp(prefix="chaos-"))
    yield path
    for log in _logs(path):
        shutil.copy(log, tmp_path)
    shutil.rmtree(path)


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Simulator]:
    """The simulated exchange, in a process of its own."""
    with Processes(Settings(), tmp_path) as processes:
        async with running_simulator(processes) as running:
            yield running


@pytest.fixture
def processes(
    exchange: Simulator, tmp_path: Path, data_dir: Path, interval: int
) -> Iterator[Processes]:
    """Starts processes of the service that use the simulated exchange and their own data folder."""
    settings = Settings(
        database_url=None,
        redis_url=None,
        deribit_base_url=exchange.api_url,
        collect_interval_seconds=interval,
        api_port=free_port(),
        api_keys="chaos-key",
        data_dir=data_dir,
    )
    with Processes(settings, tmp_path) as started:
        yield started


@pytest.fixture
async def stack(processes: Processes) -> AsyncIterator[Stack]:
    """The whole service, running under its supervisor."""
    async with running_stack(processes) as running:
        yield running


@pytest.fixture
def start_scenario(
    exchange: Simulator,
    processes: Processes,
    interval: int,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> StartScenario:
    """Starts a scenario on a running service, once the first few slots are recorded."""
    title = _title(request.node)

    async def start(service: Service) -> Scenario:
        scenario = Scenario(
            service,
            exchange,
            interval,
            HealthMonitor(processes.settings.api_port),
            on_result=lambda line: record_property(TABLE, [title, *line.cells()]),
        )
        await scenario.wait_for_live_slots(WARM_UP_SLOTS)
        return scenario

    return start


@pytest.fixture
def add_note(record_property: Callable[[str, object], None]) -> AddNote:
    """Adds a line of text below the table of results."""
    return partial(record_property, NOTES)


def _title(node: pytest.Function) -> str:
    marker = node.get_closest_marker("chaos")
    assert marker is not None
    (title,) = marker.args
    return f"{title} {node.callspec.id}" if hasattr(node, "callspec") else title
