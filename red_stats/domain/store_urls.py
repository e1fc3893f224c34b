"""What RED_CLICKHOUSE says: where a ClickHouse server is, and whether a password may go in clear. Pure."""

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from red_common.networks import is_loopback

SCHEMES: Final = {"https": True, "clickhouses": True, "http": False, "clickhouse": False}  # whether by TLS
ELSEWHERE: Final = frozenset(
    (
        "access_token",
        "dsn",
        "host",
        "interface",
        "password",
        "port",
        "secure",
        "user",
        "user_name",
        "username",
    )
)


class StoreAddress(NamedTuple):
    """A server; `options` are arguments of the driver or settings of ClickHouse, such as `ca_cert`."""

    host: str
    port: int | None
    username: str
    password: str
    database: str | None
    tls: bool
    options: dict[str, str]

    def arguments(self) -> dict[str, Any]:
        """The arguments of the driver. Given the interface, it guesses nothing from the port."""
        where = {"host": self.host, "port": self.port or 0, "interface": "https" if self.tls else "http"}
        who = {"username": self.username, "password": self.password, "database": self.database}
        return {**self.options, **where, **who}


def parse_store_url(url: str) -> StoreAddress:
    """Read `https://user:password@host:port/?ca_cert=FILE`; `clickhouses` is the same as `https`.

    `http` and `clickhouse` are without TLS, unless `secure=true` says otherwise. They take a password to
    another machine only if `secure=false` says that this is meant.

    Raises:
        ValueError: it is no such URL; the text has nothing of its user and password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no URL: write %2F for / in a password, and so on") from None
    if parts.scheme not in SCHEMES or not host:
        raise ValueError(f"must be a URL of {', '.join(SCHEMES)}, such as https://user:password@host:8443")
    options = dict(parse_qsl(parts.query))
    tls, is_meant = _transport(parts.scheme, options.pop("secure", None))
    if wrong := sorted(ELSEWHERE & options.keys()):
        raise ValueError(f"cannot have {wrong[0]}=: write {parts.scheme}://user:password@host:port")
    password = unquote(parts.password or "")
    if password and not tls and not is_meant and not is_loopback(host):
        raise ValueError(
            f"would send its password to {host} in clear: say https://, or add ?secure=false if that is meant"
        )
    return StoreAddress(
        host,
        port,
        unquote(parts.username or "") or "default",
        password,
        unquote(parts.path.strip("/")) or None,
        tls,
        options,
    )


def _transport(scheme: str, secure: str | None) -> tuple[bool, bool]:
    """Whether TLS is used, and whether the URL says so in words."""
    tls = SCHEMES[scheme]
    if secure not in (None, "true", "false"):
        raise ValueError("has a secure= that is neither true nor false")
    if secure is None:
        return tls, False
    if tls and secure == "false":
        raise ValueError(f"says {scheme}:// and secure=false: decide for one of them")
    return secure == "true", True
