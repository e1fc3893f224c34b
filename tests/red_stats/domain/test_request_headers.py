import pytest

from red_stats.domain.request_headers import check_names, check_values, opened, sealed
from red_stats.domain.thresholds import NotAsExpected


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-length", "Content-Type", "webhook-id", "Webhook-Signature", "Connection",
        "keep-alive", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
        "", "a b", "a:b", "a\r\nb", "ä", "x" * 101,
    ],
)  # fmt: skip
def test_a_name_that_is_none_or_not_the_clients_is_refused(name):
    with pytest.raises(NotAsExpected):
        check_names([name])


def test_names_are_few_and_each_is_there_once():
    check_names([f"X-{n}" for n in range(10)])
    with pytest.raises(NotAsExpected):
        check_names([f"X-{n}" for n in range(11)])
    with pytest.raises(NotAsExpected):
        check_names(["X-One", "x-one"])


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\x00", "é", " a", "a ", "\x7f", "a\x0bb"])
def test_a_value_that_cannot_be_sent_as_it_is_is_refused(value):
    with pytest.raises(NotAsExpected):
        check_values({"X-One": value})


def test_names_and_values_have_4_kib_together():
    check_values({"X-One": "a" * 4091})
    with pytest.raises(NotAsExpected):
        check_values({"X-One": "a" * 4092})


def test_what_was_sealed_is_opened_and_nothing_else_tells_a_value():
    made = sealed({"X-One": "1", "Authorization": "Bearer secret"}, lambda text: text[::-1])
    assert made.names == ("X-One", "Authorization")
    assert opened(made, lambda text: text[::-1]) == {"X-One": "1", "Authorization": "Bearer secret"}
    assert sealed({}, str) is None
    assert opened(None, str) == {}
