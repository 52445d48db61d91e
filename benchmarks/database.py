"""PostgreSQL asked by its own tools: psql and pgbench, as the wheel carries them."""

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from app.embedded.postgres_cluster import bin_directory
from benchmarks.processes import Broken, python, run


@dataclass(frozen=True, slots=True)
class Sql:
    """One database of the server that is measured."""

    url: str
    """As SQLAlchemy takes it."""

    @property
    def plain_url(self) -> str:
        """Its URL as psql takes it."""
        return self.url.replace("+asyncpg", "")

    def named(self, name: str) -> "Sql":
        """Give another database of the same server."""
        return Sql(self.url.replace("/prices?", f"/{name}?"))

    def ask(self, *statements: str) -> str:
        """Run statements, each by itself, and give what they answer as bare text."""
        return run(*self._psql, *(word for one in statements for word in ("-c", one)))

    def seconds(self, statement: str) -> float:
        """Run a statement and give how long it took, without the start of psql."""
        said = self.ask(r"\timing on", r"\o /dev/null", statement)
        times = re.findall(r"Time: ([\d.]+) ms", said)
        if not times:
            raise Broken(f"psql told no time: {said[:500]}")
        return float(times[-1]) / 1000

    def per_second(self, script: str, seconds: float) -> float:
        """Run a pgbench script with one prepared client, and give its transactions a second."""
        parts = urlsplit(self.plain_url)
        host = parse_qs(parts.query)["host"][0]
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            said = run(
                str(bin_directory() / "pgbench"),
                *("-h", host, "-U", parts.username or "postgres"),
                *("-n", "-M", "prepared", "-T", str(max(1, round(seconds))), "-f", file.name),
                parts.path.lstrip("/"),
            )
        return float(re.findall(r"tps = ([\d.]+)", said)[-1])

    def migrate(self, directory: Path) -> None:
        """Bring the schema to its newest version."""
        run(*python("app", "migrate"), env={"DATABASE_URL": self.url}, cwd=directory)

    @property
    def _psql(self) -> tuple[str, ...]:
        return (str(bin_directory() / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", self.plain_url)


def now() -> int:
    """Give the newest whole minute, in UNIX seconds."""
    return int(time.time()) // 60 * 60
