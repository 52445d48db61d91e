"""The public methods: what each answers to its named parameters at a moment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from app.simulator.chart import DAY, DEFAULT_STEPS, LAUNCH, chart, validate_chart_step
from app.simulator.indices import Indices
from app.simulator.json_rpc import RpcError, dumps, invalid_parameter
from app.simulator.prices import curve

Params: TypeAlias = Mapping[str, Any]

VERSION: Final = "1.2.26"
_MICROS: Final = 1_000_000
_MAX_DELIVERIES: Final = 1_000
_SETTLEMENT_HOUR: Final = 8 * 3_600  # 08:00 UTC


@dataclass(slots=True)
class Market:
    """What the methods answer from: names, chart steps and pinned prices."""

    indices: Indices
    chart_steps: dict[str, int] = field(default_factory=lambda: dict(DEFAULT_STEPS))
    pinned: dict[str, str] = field(default_factory=dict)

    def price_text(self, name: str, now_us: int) -> str:
        """Return the price of an index as the JSON text to send."""
        return self.pinned.get(name) or curve(name).text(now_us // _MICROS)

    def pin(self, name: str, text: object) -> None:
        """Send this JSON text as the price of an index, whether it is a number or not."""
        if name not in self.indices:
            raise ValueError(f"{name}: not an index of this exchange")
        if not isinstance(text, str) or not text or not text.isprintable():
            raise ValueError(f"price: {text!r} is not the JSON text of a price, in quotes")
        self.pinned[name] = text

    def set_chart_steps(self, steps: Mapping[str, Any]) -> None:
        """Change the steps of some ranges, in seconds."""
        for span, step in steps.items():
            validate_chart_step(span, step)
        self.chart_steps.update(steps)


def price_result(text: str) -> str:
    """Write the result of get_index_price around the text of a price."""
    return f'{{"index_price":{text},"estimated_delivery_price":{text}}}'


def get_index_price(market: Market, params: Params, now_us: int) -> str:
    """Answer the price of an index; both of its members are the same, as in every recording."""
    return price_result(market.price_text(_index_name(market, params), now_us))


def get_index_price_names(market: Market, params: Params, _now_us: int) -> str:
    """Answer the names that have a price, as objects if `extended` is asked for."""
    names = market.indices.priced
    if not _boolean(params, "extended"):
        return dumps(names)
    return dumps([_extended(name) for name in names])


def get_supported_index_names(market: Market, params: Params, _now_us: int) -> str:
    """Answer the names that instruments are settled in, of one type or of all."""
    indices = market.indices
    lists = {
        "all": indices.spot + indices.derivative,
        "spot": indices.spot,
        "derivative": indices.derivative,
    }
    return dumps(lists[_choice(params, "type", lists, default="all")])


def get_index_chart_data(market: Market, params: Params, now_us: int) -> str:
    """Answer the chart of an index over one of the named ranges."""
    name = _index_name(market, params)
    span = _choice(params, "range", market.chart_steps)
    return chart(name, span, market.chart_steps[span], now_us // _MICROS)


def get_delivery_prices(market: Market, params: Params, now_us: int) -> str:
    """Answer the prices at 08:00 UTC of past days, newest first."""
    name = _index_name(market, params)
    offset = _integer(params, "offset", default=0)
    count = _integer(params, "count", default=10, most=_MAX_DELIVERIES)
    newest = (now_us // _MICROS - _SETTLEMENT_HOUR) // DAY
    total = max(newest - LAUNCH // DAY + 1, 0)
    days = range(newest - offset, newest - min(offset + count, total), -1)
    data = ",".join(_delivery(name, day) for day in days)
    return f'{{"records_total":{total},"data":[{data}]}}'


def get_time(_market: Market, _params: Params, now_us: int) -> str:
    """Answer the exchange's time in milliseconds."""
    return str(now_us // 1_000)


def status(_market: Market, _params: Params, _now_us: int) -> str:
    """Answer that nothing is locked; the word is a string on Deribit too."""
    return '{"locked":"false"}'


def test(_market: Market, params: Params, _now_us: int) -> str:
    """Answer the version, or an error if one is asked for."""
    if params.get("expected_result") == "exception":
        raise RpcError(10001)
    return dumps({"version": VERSION})


Method: TypeAlias = Callable[[Market, Params, int], str]
METHODS: Final[Mapping[str, Method]] = {
    method.__name__: method
    for method in (
        get_index_price,
        get_index_price_names,
        get_supported_index_names,
        get_index_chart_data,
        get_delivery_prices,
        get_time,
        status,
        test,
    )
}


def _index_name(market: Market, params: Params) -> str:
    name = _required(params, "index_name")
    if not isinstance(name, str) or name not in market.indices:
        raise invalid_parameter("index_name", "invalid index")
    return name


def _required(params: Params, param: str) -> object:
    if param not in params:
        raise RpcError(-32000)
    return params[param]


def _choice(
    params: Params, param: str, choices: Mapping[str, Any], default: str | None = None
) -> str:
    value = _required(params, param) if default is None else params.get(param, default)
    if not isinstance(value, str) or value not in choices:
        raise invalid_parameter(param, f"invalid {param}")
    return value


def _boolean(params: Params, param: str) -> bool:
    value = params.get(param, False)
    if value not in (True, False, "true", "false"):
        raise invalid_parameter(param, "wrong format")
    return value in (True, "true")


def _integer(params: Params, param: str, default: int, most: int | None = None) -> int:
    text = str(params.get(param, default))
    if not (text.isascii() and text.isdigit() and len(text) < len(str(_MICROS))):
        raise invalid_parameter(param, "wrong format")
    value = int(text)
    if most is not None and value > most:
        raise invalid_parameter(param, f"must be at most {most}")
    return value


def _extended(name: str) -> dict[str, Any]:
    combos = name in {"btc_usd", "eth_usd"}
    return {
        "name": name,
        "future_combo_creation_enabled": combos,
        "option_combo_creation_enabled": combos,
    }


def _delivery(name: str, day: int) -> str:
    date = datetime.fromtimestamp(day * DAY, tz=UTC).date()
    price = curve(name).text(day * DAY + _SETTLEMENT_HOUR)
    return f'{{"date":"{date}","delivery_price":{price}}}'
