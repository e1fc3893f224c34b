import pytest

from red_common.networks import parse_networks
from red_stats.domain.urls import refusal

OK = """https://example.com/h https://example.com:8443/h https://8.8.8.8/h
https://[2001:4860:4860::8888]/h https://xn--bcher-kva.example/h HTTPS://EXAMPLE.COM/h"""
BLOCKED_V4 = """127.0.0.1 127.255.255.254 10.0.0.1 172.31.255.255 192.168.0.1 169.254.169.254
100.100.100.200 168.63.129.16 192.0.0.192 192.88.99.1 198.18.0.1 0.0.0.0 0.1.2.3 224.0.0.1
240.0.0.1 255.255.255.255"""
BLOCKED_V6 = """::1 :: ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::7f00:1 ::ffff:0:7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1 2002:7f00:1:: 2001:0:7f00:1:: fd00:ec2::254 fe80::1 fec0::1
ff02::1 3fff::1 5f00::1 100::1"""
CASES = {
    "http://example.com/h": "scheme",
    "ftp://example.com/": "scheme",
    "file:///etc/passwd": "scheme",
    "gopher://example.com/": "scheme",
    "//example.com/": "scheme",
    "https:///x": "no-host",
    "https://example.com:22/": "port",
    "https://example.com:0/": "port",
    "https://example.com:99999/": "unparsable",
    "https://user:pw@example.com/": "userinfo",
    "https://example.com@127.0.0.1/": "userinfo",
    "https://127.0.0.1%2f@example.com/": "userinfo",
    "https://127.0.0.1#@example.com/": "fragment",
    "https://127.0.0.1\\@example.com/": "bad-char",
    "https://example.com/\r\nX: 1": "bad-char",
    "https://127。0。0。1/": "bad-char",
    "https://①②⑦.⓪.⓪.①/": "bad-char",
    "https://ⓛocalhost/": "bad-char",
    "https://2130706433/": "noncanonical-ip",
    "https://017700000001/": "noncanonical-ip",
    "https://127.1/": "noncanonical-ip",
    "https://0/": "noncanonical-ip",
    "https://0177.0.0.1/": "noncanonical-ip",
    "https://127.0.0.1./": "noncanonical-ip",
    "https://0x7f000001/": "bad-host",
    "https://0x7f.1/": "bad-host",
    "https://localhost/": "bad-host",
    "https://LOCALHOST./": "bad-host",
    "https://kafka/": "bad-host",
    "https://exa%6dple.com/": "bad-host",
    "https://exam_ple.com/": "bad-host",
    "https://foo.localhost/": "special-tld",
    "https://metadata.google.internal/": "special-tld",
    "https://[fe80::1%25eth0]/": "zone",
    "https://example.com/" + "a" * 2048: "too-long",
}


@pytest.mark.parametrize("url", OK.split())
def test_public_addresses_and_names_pass(url):
    assert refusal(url) is None


@pytest.mark.parametrize("address", BLOCKED_V4.split())
def test_special_v4_addresses_are_blocked(address):
    assert refusal(f"https://{address}/h") == "blocked-ip"


@pytest.mark.parametrize("address", BLOCKED_V6.split())
def test_special_v6_addresses_are_blocked(address):
    assert refusal(f"https://[{address}]/h") == "blocked-ip"


@pytest.mark.parametrize(("url", "reason"), CASES.items())
def test_every_other_trick_has_its_reason(url, reason):
    assert refusal(url) == reason


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9000/h", None),
        ("https://127.0.0.1:9000/h", None),
        ("http://127.0.0.2:9000/h", "scheme"),
        ("https://127.0.0.2/h", "blocked-ip"),
        ("http://localhost:9000/h", "scheme"),
        ("http://user@127.0.0.1:9000/h", "userinfo"),
    ],
)
def test_the_allow_list_frees_a_literal_address_only(url, reason):
    assert refusal(url, parse_networks("127.0.0.1/32")) == reason


@pytest.mark.parametrize(
    "host", ["v1.fe", "V1.fe", "vf.example.com", "v1.2130706433", "example.com", "1.2.3.4"]
)
def test_brackets_hold_an_ipv6_address_and_nothing_else(host):
    assert refusal(f"https://[{host}]/h") in ("bad-host", "unparsable")
