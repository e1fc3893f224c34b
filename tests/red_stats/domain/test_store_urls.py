"""When a password may go to a ClickHouse server."""

import pytest

from red_stats.domain.store_urls import parse_store_url

PASSWORD = "pass-word"
PORTS = ("", ":80", ":443", ":8123", ":8443", ":9440")


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("scheme", ["http", "clickhouse"])
def test_no_port_makes_a_password_go_out_in_clear_or_not(scheme, port):
    with pytest.raises(ValueError, match=r"would send its password to stats\.example in clear") as refused:
        parse_store_url(f"{scheme}://red:{PASSWORD}@stats.example{port}")
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("url", "interface"),
    [
        ("https://red:x@stats.example{}", "https"),
        ("clickhouses://red:x@stats.example{}", "https"),
        ("clickhouse://red:x@stats.example{}?secure=true", "https"),
        ("http://red:x@stats.example{}?secure=true", "https"),
        ("http://red:x@stats.example{}?secure=false", "http"),
        ("clickhouse://red:x@127.0.0.1{}", "http"),
        ("clickhouse://red:x@[::1]{}", "http"),
        ("clickhouse://red:x@localhost{}", "http"),
        ("http://red@stats.example{}", "http"),
    ],
)
def test_the_scheme_decides_about_tls_and_never_the_port(url, interface, port):
    assert parse_store_url(url.format(port)).arguments()["interface"] == interface


def test_a_url_has_user_password_database_and_options():
    given = parse_store_url("https://r%40d:p%2Fw@stats.example:9999/mine?ca_cert=/ca.pem&verify=true")

    assert given.arguments() == {
        "host": "stats.example", "port": 9999, "interface": "https", "username": "r@d", "password": "p/w",
        "database": "mine", "ca_cert": "/ca.pem", "verify": "true",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        f"red:{PASSWORD}@stats.example",
        f"tcp://red:{PASSWORD}@stats.example:9000",
        f"chdb:///{PASSWORD}",
        f"https://red:{PASSWORD}/more@stats.example",
        f"https://red:{PASSWORD}@",
        f"https://stats.example?password={PASSWORD}",
        f"https://stats.example?access_token={PASSWORD}",
        f"https://red:{PASSWORD}@stats.example?interface=http",
        f"https://red:{PASSWORD}@stats.example?secure=false",
        f"http://red:{PASSWORD}@stats.example?secure=no",
        f"https://red:{PASSWORD}@[stats.example",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_store_url(url)
    assert PASSWORD not in str(refused.value)
