"""The command `exchange`, which runs the simulated Deribit."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.exit_codes import ExitCode

_Range = tuple[float, float]
_NO_JITTER: _Range = (0.0, 0.0)


def exchange(  # noqa: PLR0913  a command line has as many options as it has
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    index: Annotated[
        list[str] | None, typer.Option(help="Serve this index too; repeatable.")
    ] = None,
    any_index: Annotated[
        bool, typer.Option("--any-index", help="Serve every well-formed index name.")
    ] = False,
    testnet: Annotated[
        bool, typer.Option("--testnet", help="Answer as Deribit's testnet does.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON",
            help='Fault in force from the start, such as {"kind":"html"}; repeatable.',
        ),
    ] = None,
    clock_offset_ms: Annotated[
        float, typer.Option(help="How far the exchange's clock is ahead.")
    ] = 0.0,
    clock_jitter_ms: Annotated[
        _Range, typer.Option(metavar="MIN MAX", help="Random part of it, anew for every answer.")
    ] = _NO_JITTER,
    delay_ms: Annotated[float, typer.Option(help="Wait before every answer.")] = 0.0,
    delay_random_ms: Annotated[
        _Range, typer.Option(metavar="MIN MAX", help="Random part of it, anew for every answer.")
    ] = _NO_JITTER,
    chart_step: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RANGE=SECONDS", help="Step of a chart range, such as 1d=300; repeatable."
        ),
    ] = None,
    rate_limit: Annotated[
        float | None, typer.Option(help="Requests a second above which 10028 is the answer.")
    ] = None,
    burst: Annotated[int, typer.Option(help="Requests at once that the rate limit allows.")] = 100,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, to serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print every request.")] = False,
) -> None:
    """Run a stand-in for Deribit that replays real prices and can be told to fail."""
    from app.simulator import ExchangeOptions, JitteredMilliseconds, run

    try:
        options = ExchangeOptions(
            host=host,
            port=port,
            indices=tuple(index or ()),
            any_index=any_index,
            testnet=testnet,
            seed=seed,
            faults=tuple(map(_parse_fault, fault or ())),
            clock=JitteredMilliseconds(clock_offset_ms, clock_jitter_ms),
            delay=JitteredMilliseconds(delay_ms, delay_random_ms),
            chart_steps=dict(map(_parse_chart_step, chart_step or ())),
            rate_limit=rate_limit,
            burst=burst,
            tls_cert=tls_cert,
            tls_key=tls_key,
            verbose=verbose,
        )
    except ValueError as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(ExitCode.REFUSED) from None
    raise typer.Exit(run(options))


def _parse_fault(text: str) -> dict[str, Any]:
    try:
        fault = json.loads(text)
    except ValueError:
        fault = None
    if not isinstance(fault, dict):
        raise ValueError(f"fault: {text!r} is not a JSON object")  # noqa: TRY004  one kind of error
    return fault


def _parse_chart_step(text: str) -> tuple[str, int]:
    span, _, seconds = text.partition("=")
    if not (seconds.isascii() and seconds.isdigit()):
        raise ValueError(f"chart step: {text!r} is not of the form 1d=300")
    return span, int(seconds)
