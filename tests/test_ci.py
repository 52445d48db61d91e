"""The pipeline: valid by GitLab's published schema, and made of what a developer runs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[1]
PIPELINE = PROJECT / ".gitlab-ci.yml"
MINORS = range(8, 20)
MEANS_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY", re.IGNORECASE)


def pipeline() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(PIPELINE)
    return loaded


def scripts(job: dict[str, Any]) -> list[str]:
    return [*job.get("before_script", []), *job.get("script", [])]


def jobs() -> dict[str, dict[str, Any]]:
    return {
        name: item
        for name, item in pipeline().items()
        if isinstance(item, dict) and ("script" in item or name.startswith("."))
    }


def test_pipeline_is_valid_by_gitlabs_schema() -> None:
    checked = subprocess.run(  # noqa: S603  # our own tool
        [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema",
            "vendor.gitlab-ci",
            PIPELINE,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_every_job_has_a_stage_that_exists_and_extends_what_exists() -> None:
    """The schema does not look across jobs; GitLab does."""
    stages = set(pipeline()["stages"])
    used = {job["stage"] for job in jobs().values() if "stage" in job}
    assert used == stages
    for name, job in jobs().items():
        base = job.get("extends")
        assert base is None or base in jobs(), name


def test_pipeline_runs_what_make_has() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target
        for job in jobs().values()
        for line in scripts(job)
        for target in re.findall(r"^make ([a-z]+)", line)
    }
    assert called == {"check", "test", "accept", "bench", "chaos", "prove"}
    assert called <= targets


def test_every_python_that_is_allowed_is_tested() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    (matrix,) = pipeline()["test"]["parallel"]["matrix"]
    assert matrix["PYTHON_VERSION"] == [f"3.{n}" for n in MINORS if f"3.{n}" in allowed]


def test_image_is_pushed_under_its_name_on_tags_only() -> None:
    pushing = {
        name
        for name, job in jobs().items()
        if any("docker push" in line and "CANDIDATE" not in line for line in scripts(job))
    }
    assert pushing == {"push"}
    assert [rule["if"] for rule in pipeline()["push"]["rules"]] == [
        "$CI_COMMIT_TAG && $CI_REGISTRY_IMAGE"
    ]


def test_pipeline_holds_no_secret() -> None:
    for name, job in [("pipeline", pipeline()), *jobs().items()]:
        secret = {key for key in job.get("variables", {}) if MEANS_SECRET.search(key)}
        assert secret == set(), name
        for line in scripts(job):
            assert not re.search(r"--password[ =]|://[^\s/$]+:[^\s@$]+@", line), line
    assert not re.search(r"://[^\s/$]+:[^\s@$]+@", PIPELINE.read_text())


def test_every_acceptance_test_is_marked() -> None:
    """`make test` does not open their folder."""
    for file in (PROJECT / "tests" / "acceptance").rglob("test_*.py"):
        code = file.read_text()
        tests = re.findall(r"^(?:async )?def test_", code, re.MULTILINE)
        marks = re.findall(r"^@pytest\.mark\.accept$", code, re.MULTILINE)
        is_whole_file = re.search(r"^pytestmark = \[?\s*pytest\.mark\.accept\b", code, re.MULTILINE)
        assert is_whole_file or len(marks) == len(tests), file.name
