"""The Dockerfile: small, without tools, without root."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ")
STAGES = re.split(r"^(?=FROM )", TEXT, flags=re.MULTILINE)[1:]
FINAL_STAGE = STAGES[-1]


def instructions(name: str) -> list[str]:
    """Give what follows an instruction's name in the stage that is the result."""
    return re.findall(rf"^{name} +(.+)$", FINAL_STAGE, re.MULTILINE)


def test_it_builds_in_one_stage_and_runs_in_another() -> None:
    bases = [stage.split()[1] for stage in STAGES]
    assert bases == ["python:3.13-slim", "python:3.13-slim"]
    assert "COPY --from=build /opt/venv /opt/venv" in FINAL_STAGE


@pytest.mark.parametrize("tool", ["apt-get", "gcc", "pip install"])
def test_the_result_gets_no_build_tools(tool: str) -> None:
    assert tool not in FINAL_STAGE


def test_it_runs_as_a_user_by_number() -> None:
    user = instructions("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_nothing_is_written_outside_tmp() -> None:
    assert "PYTHONDONTWRITEBYTECODE=1" in FINAL_STAGE
    assert "HEARTBEAT_FILE=/tmp/" in FINAL_STAGE


def test_the_api_is_the_default_and_is_looked_at() -> None:
    assert instructions("CMD") == ['["python", "-m", "app", "api", "--watched"]']
    assert instructions("HEALTHCHECK")[0].endswith(
        'CMD ["python", "-m", "app", "healthcheck", "api"]'
    )
    assert "API_HOST=0.0.0.0" in FINAL_STAGE


def test_only_what_is_copied_reaches_the_builder() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
        for name in line.split()
    }
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert all((PROJECT / name).exists() for name in copied)
