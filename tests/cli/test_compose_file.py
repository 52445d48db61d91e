"""docker-compose.yml: valid, closed by default, and open to every setting."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.core.settings import Settings
from app.supervisor.supervised_service import STOP_TIMEOUT_SECONDS

FILE = Path(__file__).parents[2] / "docker-compose.yml"
TEXT = FILE.read_text()
PROJECT: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
MONITORING = {"prometheus", "alertmanager", "grafana"}
OURS = ("migrate", "api", "worker", "beat")
SET_BY_THE_IMAGE = {"HEARTBEAT_FILE"}
INSIDE = {"API_HOST": "0.0.0.0", "API_PORT": "8000"}  # noqa: S104  published on loopback

every_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def test_it_is_valid() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(  # noqa: S603  # our own tool
        [checker, "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_older_composes_understand_it() -> None:
    """docker-compose 1.29 knows neither these keys nor a variable inside a variable's default."""
    assert PROJECT.keys() & {"name", "include"} == set()
    assert not re.search(r"\$\{[^}]*\$\{", TEXT)


def test_it_runs_the_whole_service() -> None:
    started = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert started == {"postgres", "redis", *OURS}


def test_monitoring_starts_on_request_alone() -> None:
    profiles = {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    }
    assert profiles == {name: ["monitoring"] for name in MONITORING}


@pytest.mark.parametrize("name", sorted(MONITORING))
def test_images_of_monitoring_have_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(MONITORING))
def test_files_of_monitoring_exist_and_are_not_written(name: str) -> None:
    mounts = [mount.split(":") for mount in SERVICES[name]["volumes"] if mount.startswith("./")]
    assert mounts
    assert all((FILE.parent / source).is_dir() and mode == "ro" for source, _, mode in mounts)


def test_only_the_api_and_grafana_are_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "api": ["${API_HOST:-127.0.0.1}:${API_PORT:-8000}:8000"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


@every_service
def test_every_service_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service


@pytest.mark.parametrize("name", ["postgres", "redis", *sorted(MONITORING)])
def test_servers_do_not_run_as_root(name: str) -> None:
    """Ours take the image's own user, which tests of the Dockerfile look at."""
    assert int(SERVICES[name]["user"].partition(":")[0]) > 0


@every_service
def test_every_service_comes_back_except_the_migration(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


@every_service
def test_no_log_fills_the_disk(name: str) -> None:
    assert {"max-size", "max-file"} == SERVICES[name]["logging"]["options"].keys()


@each_of_ours
def test_every_setting_can_be_given(name: str) -> None:
    settings = {field.upper() for field in Settings.model_fields} - SET_BY_THE_IMAGE
    assert SERVICES[name]["environment"].keys() == settings | {"PGPASSWORD"}


def test_settings_are_handed_on_or_have_a_default() -> None:
    environment = SERVICES["api"]["environment"]
    assert {key: environment[key] for key in INSIDE} == INSIDE
    for key, value in environment.items():
        source = "POSTGRES_PASSWORD" if key == "PGPASSWORD" else key
        assert key in INSIDE or value is None or value.startswith(f"${{{source}:-")


def test_both_sides_know_the_same_default_password() -> None:
    client, server = SERVICES["api"]["environment"], SERVICES["postgres"]["environment"]
    assert client["PGPASSWORD"] == server["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-prices}"


def test_the_volume_lies_where_this_version_keeps_its_data() -> None:
    postgres = SERVICES["postgres"]
    assert postgres["image"] == "postgres:18"
    assert postgres["volumes"] == ["postgres:/var/lib/postgresql"]
    assert PROJECT["volumes"] == dict.fromkeys(["postgres", *sorted(MONITORING)])


def test_nothing_starts_before_what_it_needs() -> None:
    healthy = {"condition": "service_healthy"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": healthy}
    for name in ("api", "worker", "beat"):
        assert SERVICES[name]["depends_on"] == {
            "postgres": healthy,
            "redis": healthy,
            "migrate": {"condition": "service_completed_successfully"},
        }


@pytest.mark.parametrize("name", ["api", "worker", "beat"])
def test_each_process_is_watched_and_looked_at(name: str) -> None:
    service = SERVICES[name]
    assert service["command"] == ["python", "-m", "app", name, "--watched"]
    if name != "api":  # whose health check is the image's own
        assert service["healthcheck"]["test"][1:] == ["python", "-m", "app", "healthcheck", name]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_TIMEOUT_SECONDS
