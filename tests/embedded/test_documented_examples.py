"""Every example of the documentation works in the demo as it opens.

A block that can't be run has its reason in a comment above it: `<!-- not run: … -->`.
"""

import asyncio
import gzip
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dotenv import dotenv_values
from playwright.sync_api import sync_playwright

from app.supervisor.ports import free_port
from tests.documented_blocks import PROJECT, Block, Command, read_blocks, with_current_dates
from tests.embedded.test_demo import start_demo

VENV = PROJECT / ".venv"
EARLIER = 1_600_000_000
"""A time long before the demo's history, for the files that are imported."""
RECORDED_IN_TIME = """
UPDATE prices SET created_at = to_timestamp(timestamp)
WHERE created_at > to_timestamp(timestamp + 3600)
"""
"""The demo imports its history; examples of `as_of` need one that was recorded then."""
GAP_STATEMENTS = (
    "DELETE FROM prices WHERE ticker = 'btc_usd' AND timestamp BETWEEN $1 AND $2",
    """
    INSERT INTO unfillable (exchange, ticker, first_slot, last_slot, interval_seconds, reason)
    VALUES ('deribit', 'btc_usd', $1, $2, 60, 'chart_too_coarse')
    ON CONFLICT DO NOTHING
    """,
)
OTHER_SLOTS = count(EARLIER + 3600, 60)
CHROMIUM = "/usr/bin/chromium"
WRITTEN_FILE = re.compile(r" > (\S+\.json)$")
TASK_ID = "0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11"
SEPARATOR = "=== end of a command ==="
SECONDS_PER_BLOCK = 240
PRELUDE = r"""
set -eo pipefail
curl() {  # what a reader does: end a stream, wait for a task, remember its id
  local limit=60 code=0 tries=0
  case " $* " in *" -N "*) limit=8; store_a_row & ;; esac
  while :; do
    command curl --silent --show-error --max-time $limit "$@" > .answer || code=$?
    case "$*" in *-X*|*manifest*) break ;; */tasks/*) ;; *) break ;; esac
    grep -q '"state":"\(SUCCESS\|FAILURE\)"' .answer || [ $((tries += 1)) = 60 ] && break
    sleep 0.5
  done
  cat .answer
  local id; id=$(sed -n 's/.*"task_id":"\([^"]*\)".*/\1/p' .answer)
  [ -z "$id" ] || echo "$id" > .task_id
  [ $code = 0 ] || [ $limit$code = 828 ]
}
store_a_row() {  # while a stream is read
  local slot; slot=$(($(cat .slot) + 60)); echo $slot > .slot
  printf 'ticker,timestamp,price\nbtc_usd,%s,1.5\n' $slot > .row.csv
  sleep 1; command python -m app import .row.csv > .imported 2>&1
}
python() {  # answer the question that `forget` asks
  if [ "$3" = forget ]; then set -- "$@" --yes; fi
  command python "$@"
}
api=http://127.0.0.1:8000/api/v1
task_id=$(cat .task_id 2>/dev/null || :)
"""


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo, and a directory in which commands are run against it."""

    base: str
    key: str
    scratch: Path
    data_dir: Path

    def run(self, *command: str, seconds: float = SECONDS_PER_BLOCK) -> str:
        """Run a command, and return its output; its failure fails the test."""
        inherited = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        environment = {
            **inherited,
            "PATH": f"{VENV / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(PROJECT),
            "DATA_DIR": str(self.data_dir),
            "MPLBACKEND": "agg",
            "key": self.key,
        }
        done = subprocess.run(  # noqa: S603  # our own documentation
            command,
            cwd=self.scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def store_rows_until(self, is_seen: Callable[[], bool]) -> None:
        """Import one old row after another, until one is seen in the stream."""
        for _ in range(20):
            path = self.scratch / "row.csv"
            path.write_text(f"ticker,timestamp,price\nbtc_usd,{next(OTHER_SLOTS)},1.5\n")
            self.run("python", "-m", "app", "import", str(path))
            if is_seen():
                return
        pytest.fail("no row came through the stream")

    def adapted(self, text: str) -> str:
        """Return the text of a block with this demo's address, and with current days."""
        return with_current_dates(text).replace("http://127.0.0.1:8000", self.base)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="demo-") as name, asyncio.Runner() as runner:
        folder, port = Path(name).resolve(), free_port()
        process = runner.run(start_demo(folder, port))
        try:
            key = re.search(r"API key\s+(\S+)", (folder / "demo.log").read_text())
            assert key is not None
            scratch = folder / "scratch"
            scratch.mkdir()
            _write_files(scratch)
            opened = Demo(f"http://127.0.0.1:{port}", key[1], scratch, folder / "demo")
            opened.run("python", "-m", "app", "import", "mistyped.csv")
            (scratch / ".venv").symlink_to(VENV.resolve())
            (scratch / ".data").symlink_to(folder / "demo")
            yield opened
        finally:
            process.send_signal(signal.SIGINT)
            runner.run(process.wait())


@pytest.fixture
async def history_with_gap(demo: Demo) -> None:
    """A history that was recorded in time, with a gap that the exchange can't fill."""
    url = dotenv_values(demo.data_dir / "servers.env")["DATABASE_URL"] or ""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    first = int(time.time()) // 60 * 60 - 90 * 60
    await connection.execute(RECORDED_IN_TIME)
    for statement in GAP_STATEMENTS:
        await connection.execute(statement, first, first + 120)
    await connection.close()


def _write_files(scratch: Path) -> None:
    """Write the files that the examples import, with names that the examples give them."""
    slots = [EARLIER + 60 * number for number in range(3)]
    (scratch / ".slot").write_text(str(EARLIER + 86_400))
    (scratch / "mistyped.csv").write_text(f"ticker,timestamp,price\nbtc_uds,{EARLIER},1\n")
    rows = "".join(f"{slot},1.50\n" for slot in slots)
    (scratch / "year.csv.gz").write_bytes(gzip.compress(f"timestamp,price\n{rows}".encode()))
    (scratch / "notes.csv").write_text(f"timestamp,price\n{rows}yesterday,none\n")
    for ticker in ("eth", "year"):
        columns = {"ticker": ["eth_usd"] * 3, "timestamp": slots, "price": ["1.5"] * 3}
        pq.write_table(pa.table(columns), scratch / f"{ticker}.parquet")


BLOCKS = [block for block in read_blocks() if block.is_run]
PAGES = sorted({block.page for block in BLOCKS})


@pytest.mark.accept
@pytest.mark.usefixtures("history_with_gap")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_example_of_a_page_runs_in_the_demo(demo: Demo, page: Path) -> None:
    for block in BLOCKS:
        if block.page == page:
            _run_block(demo, block)


@pytest.mark.accept
def test_every_example_of_swagger_is_answered(demo: Demo) -> None:
    with urlopen(f"{demo.base}/openapi.json") as found:  # noqa: S310  # our own address
        document = json.load(found)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            query = urlencode(_example_parameters(operation))
            url = f"{demo.base}{path.format(task_id=TASK_ID)}?{query}"
            request = Request(url, method=method.upper(), headers={"X-API-Key": demo.key})  # noqa: S310  # our own address
            assert _status(request) in ({404} if TASK_ID in url else {200, 202}), url


def _status(request: Request) -> int:
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310  # our own address
            status: int = answer.status
            return status
    except HTTPError as error:
        return error.code


def _example_parameters(operation: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the parameters as Swagger's form is filled when it opens."""
    filled: list[tuple[str, str]] = []
    for parameter in operation.get("parameters", []):
        for example in list(parameter.get("examples", {}).values())[:1]:
            value = example["value"]
            values = value if isinstance(value, list) else [value]
            filled += [(parameter["name"], str(one)) for one in values]
    return filled


def _run_block(demo: Demo, block: Block) -> None:
    if block.language == "sh":
        _run_shell(demo, block)
    elif block.language == "js":
        _run_in_browser(demo, block)
    elif "while True" in block.text:
        _run_until_output(demo, block)
    else:
        demo.run("python", "-c", demo.adapted(block.text))


def _run_until_output(demo: Demo, block: Block) -> None:
    """Run a program without an end until it prints what was stored meanwhile."""
    command = [str(VENV / "bin/python"), "-u", "-c", demo.adapted(block.text)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=demo.scratch) as program:  # noqa: S603  # our own documentation
        output = program.stdout
        assert output is not None
        try:
            demo.store_rows_until(lambda: bool(select.select([output.fileno()], [], [], 0)[0]))
            assert b"'price': 1.5" in output.readline()
        finally:
            program.kill()


def _run_in_browser(demo: Demo, block: Block) -> None:
    """Run a script in a page of the service until it logs what was stored meanwhile."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, logged = browser.new_page(), list[str]()
        page.on("console", lambda m: logged.append(m.text) if m.type == "log" else None)
        page.goto(f"{demo.base}/openapi.json")
        page.add_script_tag(content=demo.adapted(block.text))

        def has_logged() -> bool:
            page.evaluate("0")  # lets the browser deliver its messages
            return bool(logged)

        demo.store_rows_until(has_logged)
        browser.close()
    assert logged[0].startswith("btc_usd 2020-"), logged
    assert logged[0].endswith(" 1.5"), logged


def _run_shell(demo: Demo, block: Block) -> None:
    commands = list(block.commands())
    ends = f"\nprintf '\\n%s\\n' '{SEPARATOR}'\ntask_id=$(cat .task_id 2>/dev/null || :)\n"
    script = PRELUDE + "".join(command.text + ends for command in commands)
    output = demo.run("bash", "-c", demo.adapted(script))
    for command, answer in zip(commands, output.split(SEPARATOR), strict=False):
        written = WRITTEN_FILE.search(command.text)
        _compare(command, (demo.scratch / written[1]).read_text() if written else answer)


def _compare(command: Command, answer: str) -> None:
    """Compare an answer with what is shown: no error, and each member that is shown."""
    assert '"items":[]' not in answer, command.text
    assert '"code":"' not in answer.replace('"code":"price_too_old"', ""), (command.text, answer)
    missing = {member for member in command.members if f'"{member}":' not in answer}
    assert not missing, (command.text, missing, answer)
