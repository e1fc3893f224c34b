"""What `red-stats up` decides by itself."""

import pytest

from red_stats.local.supervisor import allowance_of


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_webhooks_may_reach_this_machine_while_nobody_else_gets_in(host):
    assert allowance_of(host) == "127.0.0.1/32"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "red.example", "localhost.example", ""])
def test_webhooks_may_not_reach_this_machine_where_others_can_reach_the_services(host):
    assert allowance_of(host) == ""
