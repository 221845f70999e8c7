"""The outside contract's settings, read from the environment. An unreadable value stops the start with a sentence."""

import os
import re
import secrets
import ssl
import zoneinfo
from pathlib import Path
from typing import Any

import environ

_AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")


class UnreadableSetting(SystemExit):
    """A setting of the environment cannot be used; the sentence says which and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"Sunview does not start: {name} {why}")


def address(name: str, default: str) -> tuple[str, int]:
    """``host:port`` from the environment variable ``name``; an IPv6 host stands in brackets."""
    text = os.environ.get(name) or default
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UnreadableSetting(
            name, f"must be HOST:PORT with a port from 1 to 65535, such as {default}; it is {text!r}"
        )
    return host.strip("[]"), int(port)


def address_if_set(name: str, example: str) -> tuple[str, int] | None:
    """As ``address``, for a listener that is not there unless its variable is set."""
    return address(name, example) if os.environ.get(name) else None


def tls(certificate: str, key: str, authorities: str, needed_by: list[str]) -> ssl.SSLContext | None:
    """TLS of our listeners from the files that three variables name; None if no certificate is named.

    With ``authorities`` a peer must show a certificate that one of them signed. Versions and ciphers are those of the
    BCP 195 RFC 9325 TLS secure transport connection profile (PS3.15 B.12). ``needed_by`` are variables that make a
    certificate necessary where they are set.
    """
    chain = os.environ.get(certificate)
    if not chain:
        if wanting := [name for name in needed_by if os.environ.get(name)]:
            raise UnreadableSetting(certificate, f"must name a file with our certificate, because {wanting[0]} is set")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM")
    try:
        context.load_cert_chain(chain, os.environ.get(key) or None, password=_no_password)
    except (OSError, ValueError) as error:
        raise UnreadableSetting(certificate, f"and {key} must name PEM files that belong together: {error}") from error
    if trusted := os.environ.get(authorities):
        try:
            context.load_verify_locations(trusted)
        except OSError as error:
            raise UnreadableSetting(authorities, f"must name a PEM file of certificate authorities: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    """An encrypted key would make the library ask at a terminal that is not there."""
    raise ValueError("the key is encrypted")


def words(name: str) -> list[str]:
    """The words of a list with commas or spaces; none if it is not set."""
    return os.environ.get(name, "").replace(",", " ").split()


def ae_title(name: str, default: str) -> str:
    """An AE title (PS3.5 6.2, VR AE): 1 to 16 characters of ASCII without backslash."""
    text = os.environ.get(name) or default
    if not _AE_TITLE.fullmatch(text):
        raise UnreadableSetting(name, f"must be an AE title of 1 to 16 ASCII characters; it is {text!r}")
    return text.strip()


def days(name: str, default: str) -> int:
    """A number of days, at least one."""
    text = os.environ.get(name) or default
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 36500:
        raise UnreadableSetting(name, f"must be a number of days from 1 to 36499; it is {text!r}")
    return int(text)


def time_zone(name: str, default: str) -> str:
    """The site's zone by its IANA name."""
    text = os.environ.get(name) or default
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnreadableSetting(name, f"must be an IANA time zone such as Europe/Dublin; it is {text!r}") from error
    return text


def data_dir(name: str, default: Path) -> Path:
    """The folder for database, images and keys; made if it is not there."""
    path = Path(os.environ.get(name) or default).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreadableSetting(name, f"must be a folder that can be written; {path}: {error.strerror}") from error
    return path


def secret_key(name: str, folder: Path) -> str:
    """The given key, or one made once and kept readable by its owner only in the data folder."""
    if given := os.environ.get(name):
        if len(given) < 32:
            raise UnreadableSetting(name, "must have at least 32 characters")
        return given
    path = folder / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        key = secrets.token_urlsafe(50)
        file.write(key)
    return key


def database(name: str, folder: Path) -> dict[str, Any]:
    """Django's database settings: SQLite in the data folder, or what ``DATABASE_URL`` names (PostgreSQL, SQLite)."""
    url = os.environ.get(name) or f"sqlite:///{folder / 'sunview.sqlite3'}"
    try:
        config = dict(environ.Env.db_url_config(url))
    except Exception as error:
        raise UnreadableSetting(name, "is not a database address such as postgres://user:password@host/name") from error
    if config.get("ENGINE") == "django.db.backends.sqlite3":
        return config | {"OPTIONS": SQLITE_OPTIONS, "TEST": {"NAME": folder / "test.sqlite3"}}
    if config.get("ENGINE") != "django.db.backends.postgresql":
        raise UnreadableSetting(name, "must name a PostgreSQL or SQLite database")
    options = {**POSTGRESQL_OPTIONS, **config.get("OPTIONS", {})}
    return config | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


#: Measured: prepared statements take a fifth off an order's way (20 to 16 ms on one core).
POSTGRESQL_OPTIONS = {"connect_timeout": 5, "server_side_binding": True, "prepare_threshold": 5}

#: Measured: with DEFERRED 92 % of read-then-write transactions fail under load (reliability.md, fact 7).
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;",
}
