"""Faults of the database by name: one line that says what, where and what mends it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from app.core.errors import DatabaseTooOld, DatabaseUnavailable, SettingsError
from app.core.settings import Settings, load_settings
from app.postgres.database import Database
from app.postgres.engine import create_engine
from app.postgres.schema_version import require_version
from app.runtime import require_servers
from tests.conftest import Servers
from tests.processes import Processes
from tests.tls import CLIENT, PASSWORD, TlsPostgres, tls_postgres

pytestmark = pytest.mark.xdist_group("tls")


@pytest.fixture
async def postgres(directory: Path) -> AsyncIterator[TlsPostgres]:
    async with tls_postgres(directory) as server:
        yield server


def _with_url(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(url)})


async def _startup_error(settings: Settings, url: str) -> str:
    """Give the line with which a start at a database ends."""
    with pytest.raises(DatabaseUnavailable) as caught:
        await require_servers(_with_url(settings, url), broker=False)
    line = str(caught.value)
    assert "\n" not in line
    assert PASSWORD not in line
    assert line.endswith("; start the embedded servers with `make run`, or set DATABASE_URL")
    return line


async def test_every_fault_of_a_connection_has_its_line(
    settings: Settings, postgres: TlsPostgres, tmp_path: Path
) -> None:
    server = f"(host 127.0.0.1, port {postgres.port}, user %s, database prices)"
    url = postgres.url()
    wrong = url.replace(":p%40ss", ":other-p%40ss")
    root = postgres.certificate.certificate
    expected = {
        wrong: f"PostgreSQL refuses the user or the password {server % 'owner'};",
        postgres.url("nobody"): f"PostgreSQL's pg_hba.conf admits no such connection with no "
        f"encryption {server % 'nobody'}: ask for TLS by ?sslmode=require;",
        postgres.url(database="nowhere"): "PostgreSQL has no such database (host 127.0.0.1, port "
        f"{postgres.port}, user owner, database nowhere): "
        'CREATE DATABASE "nowhere" OWNER "owner";',
        postgres.url("single"): f"PostgreSQL has no connection left {server % 'single'}: raise "
        "max_connections or run fewer processes;",
        postgres.url("careful", query="?sslmode=disable"): "PostgreSQL's pg_hba.conf admits no "
        f"such connection with no encryption {server % 'careful'}: ask for TLS by "
        "?sslmode=require;",
        postgres.url(CLIENT, query="?sslmode=require"): "PostgreSQL refuses the login: connection "
        f"requires a valid client certificate {server % CLIENT};",
        url.replace("127.0.0.1", "no-such-host.invalid"): "the name of PostgreSQL's host has no "
        f"address {server % 'owner'};".replace("127.0.0.1", "no-such-host.invalid"),
        url.replace(f":{postgres.port}/", ":1/"): "PostgreSQL does not listen there (host "
        "127.0.0.1, port 1, user owner, database prices);",
        f"{url}?sslmode=verify-ca&sslrootcert={_other_ca_certificate(tmp_path)}": "PostgreSQL's "
        f"certificate is refused: self-signed certificate {server % 'owner'}: name the authority "
        "that signed it as ?sslrootcert=/its/file.pem;",
        f"{url.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert={root}": "Postgre"
        "SQL's certificate is refused: Hostname mismatch, certificate is not valid for "
        f"'localhost'. {server % 'owner'}: write the host as the certificate names it;".replace(
            "127.0.0.1", "localhost"
        ),
    }
    for address, words in expected.items():
        line = await _startup_error(settings, address)
        assert line.startswith(words), f"{line}\n{words}"


def _other_ca_certificate(directory: Path) -> Path:
    from tests.clients.certificates import make_certificate  # noqa: PLC0415

    directory.joinpath("other").mkdir()
    return make_certificate(directory / "other").certificate


async def test_user_that_does_not_exist_is_told_how_to_be_made(
    settings: Settings, servers: Servers, tmp_path: Path
) -> None:
    url = servers.database_url("prices").replace("postgres@", "nobody@")
    line = await _startup_error(settings, url)
    assert line.startswith("PostgreSQL knows no such user (socket in /")
    assert """: CREATE ROLE "nobody" LOGIN PASSWORD '…';""" in line
    away = await _startup_error(settings, f"postgresql+asyncpg://a@/b?host={tmp_path}")
    assert f"(socket in {tmp_path}, port 5432, user a, database b)" in away


async def test_server_without_tls_is_told_apart(settings: Settings, directory: Path) -> None:
    async with tls_postgres(directory, tls=False) as server:
        line = await _startup_error(settings, server.url(query="?sslmode=require"))
        assert line.startswith("PostgreSQL offers no TLS (host 127.0.0.1")
        for query in ("", "?sslmode=prefer", "?sslmode=disable"):
            database = Database(server.url(query=query), pool_size=1)
            assert await database.schema_revision() is None
            await database.close()


async def test_modes_of_tls_are_what_libpq_means_by_them(postgres: TlsPostgres) -> None:
    root = postgres.certificate.certificate
    pair = f"sslcert={root}&sslkey={postgres.certificate.key}"
    for user, query, encrypted in (
        ("owner", "?sslmode=disable", False),
        ("owner", "?sslmode=prefer", True),
        ("owner", "?sslmode=require", True),
        ("owner", f"?sslmode=verify-ca&sslrootcert={root}", True),
        ("owner", f"?sslmode=verify-full&sslrootcert={root}", True),
        ("careful", "", True),
        (CLIENT, f"?sslmode=verify-full&sslrootcert={root}&{pair}", True),
        ("owner", "?ssl=require", True),
    ):
        database = Database(postgres.url(user, query=query), pool_size=1)
        async with database.raw_connection() as connection:
            sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ((is_encrypted,),) = await connection.fetch(sql)
        await database.close()
        assert is_encrypted is encrypted, (user, query)


@pytest.mark.parametrize("mode", ["sslmode=verify-ca", "sslmode=verify-full", "ssl=verify-full"])
async def test_check_without_an_authority_is_told_which_parameter_names_it(
    mode: str,
    settings: Settings,
    postgres: TlsPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # libpq's default file would be below it
    line = await _startup_error(settings, postgres.url(query=f"?{mode}"))
    assert line.startswith('root certificate file "')
    assert 'root.crt" does not exist or cannot be accessed (host 127.0.0.1, port' in line
    assert "): name it as ?sslrootcert=/its/file.pem, or sslrootcert=system;" in line


async def test_check_without_an_authority_ends_every_role_with_one_line(
    settings: Settings, postgres: TlsPostgres, tmp_path: Path
) -> None:
    unchecked = _with_url(settings, postgres.url(query="?sslmode=verify-full"))
    with Processes(unchecked, tmp_path) as processes:
        env = {"HOME": str(tmp_path), "LOG_FORMAT": "json"}
        roles = ("api", "worker", "beat", "gaps", "migrate")
        for process in [processes.start("app", role, env=env) for role in roles]:
            assert await asyncio.to_thread(process.popen.wait, 60) == 1
            (line,) = process.output.splitlines()
            assert json.loads(line)["code"] == "database_unavailable"
            assert "name it as ?sslrootcert=" in json.loads(line)["detail"]


async def test_file_of_tls_that_vanishes_is_named_without_its_path(
    postgres: TlsPostgres, tmp_path: Path
) -> None:
    root = tmp_path / "authority.pem"
    root.write_bytes(postgres.certificate.certificate.read_bytes())
    url = postgres.url(query=f"?sslmode=verify-full&sslrootcert={root}")
    database = Database(url, pool_size=1)
    root.unlink()
    with pytest.raises(DatabaseUnavailable) as caught:
        await database.schema_revision()
    await database.close()
    assert str(caught.value) == "the file of sslrootcert can't be read (No such file or directory)"


async def test_whole_service_migrates_listens_and_collects_over_tls(
    settings: Settings, postgres: TlsPostgres, tmp_path: Path
) -> None:
    root = postgres.certificate.certificate
    url = postgres.url(query=f"?sslmode=verify-full&sslrootcert={root}")
    with Processes(_with_url(settings, url), tmp_path) as processes:
        for command in ("migrate", "collect", "gaps"):
            process = processes.start("app", command)
            code = await asyncio.to_thread(process.popen.wait, 60)
            assert code == 0, process.output


async def test_migrating_without_create_names_the_grant(
    settings: Settings, postgres: TlsPostgres, tmp_path: Path
) -> None:
    """A role that owns nothing: PostgreSQL 15 and later let it create nothing in `public`."""
    admin = await asyncpg.connect(postgres.url().replace("+asyncpg", ""))
    await admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await admin.close()
    unprivileged_settings = _with_url(settings, postgres.url("poor"))
    with Processes(unprivileged_settings, tmp_path) as processes:
        for command in (("app", "migrate"), ("alembic", "upgrade", "head")):
            process = processes.start(*command, env={"LOG_FORMAT": "console"})
            assert await asyncio.to_thread(process.popen.wait, 60) == 1
            (line,) = [one for one in process.output.splitlines() if "migration_started" not in one]
            assert line.startswith(
                "database_unavailable: PostgreSQL refuses: permission denied for schema public "
                f"(host 127.0.0.1, port {postgres.port}, user poor, database prices): "
                'GRANT USAGE, CREATE ON SCHEMA public TO "poor"'
            )
            assert PASSWORD not in line
        owner = Processes(_with_url(settings, postgres.url()), tmp_path / "owner")
        owner.directory.mkdir()
        with owner:
            done = owner.start("app", "migrate")
            assert await asyncio.to_thread(done.popen.wait, 60) == 0, done.output
    line = await _startup_error(settings, postgres.url("poor"))
    assert line.startswith("PostgreSQL refuses: permission denied for table alembic_version (host")
    assert 'GRANT ALL ON ALL TABLES IN SCHEMA public TO "poor"' in line


async def test_server_that_is_too_old_is_refused_by_its_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ((14,), (14, 0), (15, 18), (19, 0), ()):
        require_version(version)
    with pytest.raises(DatabaseTooOld, match=r"^PostgreSQL 13\.22 is too old: at least 14 is need"):
        require_version((13, 22))
    monkeypatch.setattr("app.postgres.schema_version.MIN_VERSION", 99)
    with pytest.raises(DatabaseTooOld, match="at least 99 is needed"):
        await require_servers(settings, broker=False)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("user:p@ss@host:5432/prices", "write @ as %40"),
        ("user:p/ss@host:5432/prices", "write @ as %40, / as %2F"),
        ("user:1/ss@host:5432/prices", "write @ as %40, / as %2F"),
        ("user:1/p?ss@host:5432/prices", "write @ as %40, / as %2F"),
        ("user:p#ss@host:5432/prices", "must hold no #: write it as %23"),
        ("user:pass@host/prices#prod", "must hold no #: write it as %23"),
        ("user:pass@host/prices?sslmode=require#prod", "must hold no #: write it as %23"),
        ("user:pass@host/prices#", "must hold no #: write it as %23"),
        ("user:pass@host/prices?sslrootcert=%00", "sslrootcert must hold no %00"),
        ("user:pass@host/prices?sslmode=always", "sslmode must be one of disable, allow, prefer"),
        ("user:pass@host/prices?sslmode=", "sslmode must be one of"),
        ("user:pass@host/prices?channel_binding=require", "unknown parameter channel_binding"),
        ("user:pass@host/prices?ssl=bogus", "ssl must be one of disable, allow, prefer"),
        (
            "user:pass@host/prices?target_session_attrs=bogus",
            "target_session_attrs must be one of any, primary, standby, prefer-standby, read-write",
        ),
        ("user:pass@host/prices?gsslib=bogus", "gsslib must be one of gssapi, sspi"),
        ("user:pass@host/prices?sslmode=require&sslmode=disable", "sslmode must be given once"),
        ("user:pass@host/prices?sslmode=require&ssl=disable", "leave one of them out"),
    ],
)
def test_url_that_was_not_escaped_or_is_mistyped_is_refused_by_name(url: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(database_url=f"postgresql+asyncpg://{url}")
    line = str(caught.value)
    assert line.startswith("DATABASE_URL=(hidden): ")
    assert words in line
    assert "\n" not in line
    assert "ss@" not in line


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_certificate_that_can_not_be_read_is_named(name: str, tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://a:hush@127.0.0.1/b?sslmode=require&{name}={tmp_path}/nowhere.pem"
    with pytest.raises(SettingsError) as caught:
        create_engine(url, connect_args={})
    message = f"{name}={tmp_path}/nowhere.pem can't be read (No such file or directory)"
    assert str(caught.value) == f"DATABASE_URL=(hidden): {message}"
