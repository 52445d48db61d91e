"""The alert rules for Prometheus: valid, each one tested, each one with a runbook."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[1]
RULES = PROJECT / "deploy/prometheus/alerts.yml"
RULE_TESTS = RULES.with_name("alerts_test.yml")
PROMTOOL = shutil.which("promtool")
HISTOGRAM_SUFFIX = re.compile(r"_(bucket|sum|count)$")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: apt-get install prometheus"
)


def _load(file: Path) -> Any:  # noqa: ANN401  # YAML
    return YAML(typ="safe").load(file)


def _rules() -> dict[str, dict[str, Any]]:
    groups = _load(RULES)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _run_promtool(*arguments: object) -> None:
    assert PROMTOOL is not None
    command = [PROMTOOL, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # Debian's tool
    assert ran.returncode == 0, ran.stdout + ran.stderr


def served_metrics() -> set[str]:
    """Return every metric of docs/metrics.md; tests/api compares that page with what is served."""
    return set(re.findall(r"\| `(prices_\w+)`", (PROJECT / "docs/metrics.md").read_text()))


def unserved_metrics(expression: str) -> set[str]:
    """Return the metrics of an expression that the service does not serve."""
    named = set(re.findall(r"\bprices_\w+", expression))
    return {one for one in named if HISTOGRAM_SUFFIX.sub("", one) not in served_metrics()}


@needs_promtool
def test_rules_and_the_configuration_that_names_them_are_valid() -> None:
    _run_promtool("check", "rules", RULES)
    _run_promtool("check", "config", RULES.with_name("prometheus.yml"))


@needs_promtool
def test_each_alert_fires_and_resolves() -> None:
    _run_promtool("test", "rules", RULE_TESTS)


def test_each_alert_has_a_test_that_it_fires_and_that_it_resolves() -> None:
    """The last check of an alert must expect silence, after one that expects it to fire."""
    checks: dict[str, list[bool]] = {}
    for one in _load(RULE_TESTS)["tests"]:
        for check in one["alert_rule_test"]:
            checks.setdefault(check["alertname"], []).append(bool(check["exp_alerts"]))
    assert checks.keys() == _rules().keys()
    assert all(True in fires and not fires[-1] for fires in checks.values())


def test_rules_name_metrics_that_are_served() -> None:
    wrong = {alert: unserved_metrics(rule["expr"]) for alert, rule in _rules().items()}
    assert {alert: names for alert, names in wrong.items() if names} == {}


def test_dashboard_names_metrics_that_are_served() -> None:
    dashboard = json.loads((PROJECT / "deploy/grafana/dashboards/prices.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    assert {name for target in targets for name in unserved_metrics(target["expr"])} == set()


def test_each_alert_has_its_line_in_the_runbook() -> None:
    page = (PROJECT / "docs/monitoring.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == _rules().keys()
