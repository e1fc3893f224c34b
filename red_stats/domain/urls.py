"""Which webhook URLs and addresses may be reached: the rules of the SSRF guard. Pure.

IPv6 is denied by default: only global unicast passes, so no transition family can be forgotten.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from red_common.networks import Address, Network, is_in

MAX_URL: Final = 2048
PORTS: Final = (443, 8443)

_V4_DENIED: Final = tuple(
    IPv4Network(cidr)
    for cidr in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's metadata service on a public address
    )
)  # fmt: skip
_V6_ALLOWED: Final = IPv6Network("2000::/3")
_V6_DENIED: Final = tuple(
    IPv6Network(cidr) for cidr in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_SPECIAL_NAMES: Final = frozenset(
    ("localhost", "local", "internal", "lan", "home", "corp", "arpa", "onion", "test", "invalid")
)


def is_allowed(address: Address, allow: Sequence[Network] = ()) -> bool:
    """Whether an address may be dialled: it is public, or in a network that the operator allows."""
    if is_in(address, allow):
        return True
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_allowed(address.ipv4_mapped, allow)
        if address.scope_id is not None or address not in _V6_ALLOWED:
            return False
        return not any(address in network for network in _V6_DENIED)
    return not any(address in network for network in _V4_DENIED)


def refusal(url: str, allow: Sequence[Network] = ()) -> str | None:
    """Why a webhook URL is refused, as a reason code such as "bad-host"; None if it may be used.

    Plain http and arbitrary ports are allowed only for a literal address in `allow`.
    """
    if len(url) > MAX_URL:
        return "too-long"
    if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}' or c == "\x7f" for c in url):
        return "bad-char"
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError:
        return "unparsable"
    if parts.scheme.lower() not in ("https", "http"):
        return "scheme"
    literal = _literal(host or "")
    exempt = literal is not None and any(
        literal.version == network.version and literal in network for network in allow
    )
    if "[" in parts.netloc and ":" not in (host or ""):  # an IPvFuture, which nobody can dial
        return "bad-host"
    return _shape_refusal(parts, port, exempt=exempt) or _host_refusal(host or "", literal, allow)


@lru_cache(maxsize=4096)  # asked for each POST and each queue that waits for room
def host_of(url: str) -> str:
    """The host of a webhook URL that was not refused, in lower case: a name, or an address."""
    return urlsplit(url).hostname or ""


def _shape_refusal(parts: SplitResult, port: int | None, *, exempt: bool) -> str | None:
    if parts.scheme.lower() == "http" and not exempt:
        return "scheme"
    if not parts.hostname:
        return "no-host"
    if "@" in parts.netloc:
        return "userinfo"
    if parts.fragment or parts.geturl().endswith("#"):
        return "fragment"
    if not exempt and port is not None and port not in PORTS:
        return "port"
    if port == 0:
        return "port"
    return None


def _host_refusal(host: str, literal: Address | None, allow: Sequence[Network]) -> str | None:
    if ":" in host and "%" in host:
        return "zone"
    if literal is not None:
        if not is_allowed(literal, allow):
            return "blocked-ip"
        return None if literal.compressed == host.lower() else "noncanonical-ip"
    if host and not host.strip("0123456789."):
        return "noncanonical-ip"
    labels = host.lower().split(".")
    if len(labels) < 2 or not all(_is_label(label) for label in labels):
        return "bad-host"
    if not labels[-1].isalpha() and not labels[-1].startswith("xn--"):
        return "bad-host"
    return "special-tld" if labels[-1] in _SPECIAL_NAMES else None


def _is_label(label: str) -> bool:
    plain = label.replace("-", "")
    return 0 < len(label) <= 63 and plain.isalnum() and label[0] != "-" and label[-1] != "-"


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
