"""The registry of exchange clients: which exchanges there are."""

import pytest

from app.clients import known_exchanges, require_known_exchanges
from app.core.errors import SettingsError
from app.core.settings import Settings


def test_unknown_exchange_is_refused_by_name() -> None:
    settings = Settings.model_validate({"tickers": "btc_usd,other:btc_usd"})
    with pytest.raises(SettingsError) as refused:
        require_known_exchanges(settings)
    wanted = "TICKERS=btc_usd,other:btc_usd: unknown exchange other; known is deribit"
    assert str(refused.value).startswith(wanted)


def test_testnet_is_an_exchange_of_its_own() -> None:
    testnet = Settings.model_validate({"deribit_base_url": "https://test.deribit.com/api/v2"})
    assert "deribit-test" in known_exchanges(testnet)
    assert "deribit" not in known_exchanges(testnet)
