"""Each import contract fails when an import that it forbids is planted."""

import shutil
from pathlib import Path

import pytest

from tests.test_architecture import PROJECT, lint_imports

PLANTED = {
    "Every import points down": ("core/logs.py", "import app.services.exports"),
    "Services do not know one another": ("services/summaries.py", "import app.services.exports"),
    "Exchange clients never touch the database": (
        "clients/price_parsing.py",
        "import app.postgres.database",
    ),
    "The domain is the standard library only": ("domain/slots.py", "import pydantic"),
    "SQLAlchemy lives in postgres and repositories": ("services/summaries.py", "import sqlalchemy"),
    "FastAPI lives in api and main": ("services/summaries.py", "import fastapi"),
    "aiohttp lives in clients and in the simulator": ("services/summaries.py", "import aiohttp"),
    "Celery lives in celery_app, worker and tasks": ("services/summaries.py", "import celery"),
    "pyarrow lives in files": ("services/summaries.py", "import pyarrow"),
    "The simulator shares no code with the client that it tests": (
        "simulator/chart.py",
        "import app.core.logs",
    ),
}


@pytest.mark.accept
@pytest.mark.parametrize("contract", PLANTED)
def test_planted_import_breaks_its_contract(contract: str, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    module, line = PLANTED[contract]
    with (tmp_path / "app" / module).open("a") as source:
        source.write(f"\n{line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1, checked.stdout
    assert f"{contract} BROKEN" in checked.stdout


@pytest.mark.accept
def test_every_contract_has_a_planted_import() -> None:
    lines = (PROJECT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2]
    names = {line.partition('"')[2].rstrip('"') for line in lines.splitlines() if "name =" in line}
    assert names == set(PLANTED)
