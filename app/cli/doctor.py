"""The command `doctor`, which checks everything and says what is wrong and what to do."""

import json
import sys

import typer

from app.cli.exit_codes import ExitCode
from app.cli.options import JsonOption
from app.cli.tables import ResultTable, print_result
from app.domain.findings import Finding, is_healthy

LOG_LEVEL = "critical"
"""Each trouble is a line of the result; a log would say it again."""


def doctor(*, as_json: JsonOption = False) -> None:
    """Say what is wrong with settings, servers, clocks and processes, and what to do."""
    from app.cli.doctor_checks import diagnose
    from app.core.logs import configure_logs

    configure_logs(LOG_LEVEL, stream=sys.stderr)
    findings = diagnose()
    if as_json:
        print(json.dumps(_data(findings)))
    else:
        print_result([_table(findings)], _text(findings))
    if not is_healthy(findings):
        raise typer.Exit(ExitCode.FAILED)


def _table(findings: list[Finding]) -> ResultTable:
    rows = [
        (one.state, one.name, "\n".join(filter(None, (one.detail, one.remedy)))) for one in findings
    ]
    return ResultTable(("state", "check", "what is, and what to do"), rows)


def _text(findings: list[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    return "\n".join(f"{one.state:<7}  {one.name:<{width}}  {one.text}" for one in findings)


def _data(findings: list[Finding]) -> dict[str, object]:
    """Return the findings, with the words of `/health/collector`."""
    status = "ok" if is_healthy(findings) else "failing"
    checks = [
        {"name": one.name, "status": one.state, "detail": one.detail, "remedy": one.remedy}
        for one in findings
    ]
    return {"status": status, "checks": checks}
