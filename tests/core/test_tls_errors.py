"""Faults of TLS that PostgreSQL and Redis have in common."""

import ssl

import pytest

from app.core.tls_errors import certificate_remedy, reason_of


@pytest.mark.parametrize(
    ("verify_code", "remedy"),
    [
        (9, "check the clocks of both machines"),
        (10, "renew it on the server"),
        (18, "name the authority that signed it as ?sslrootcert=/its/file.pem"),
        (62, "write the host as the certificate names it"),
    ],
    ids=["not valid yet", "expired", "self-signed", "another host"],
)
def test_remedy_suits_the_reason_of_a_refused_certificate(verify_code: int, remedy: str) -> None:
    error = ssl.SSLCertVerificationError("refused")
    error.verify_code = verify_code
    assert certificate_remedy(error, "sslrootcert") == remedy


def test_error_that_names_no_reason_of_openssl_is_described_by_its_message() -> None:
    with pytest.raises(ssl.SSLError) as caught:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers("nonsense")
    assert reason_of(caught.value) == "No cipher can be selected."
    with pytest.raises(ssl.SSLError) as caught:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="nonsense")
    assert reason_of(caught.value).startswith("no start line: ")
