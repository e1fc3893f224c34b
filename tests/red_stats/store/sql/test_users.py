"""The statements for a server's users are ones that the engine can read; it has no users itself here."""

import re

import pytest

from red_stats.domain.sql_limits import Limits
from red_stats.store.sql.relations import RELATIONS
from red_stats.store.sql.users import creating, dropping


@pytest.mark.parametrize("statement", [*creating("a-b_1", "0" * 64, Limits()), *dropping("a-b_1")])
def test_a_statement_is_read_by_the_engine(statement, store):
    [[formatted]] = store.query("SELECT formatQuerySingleLine({s:String})", {"s": statement})
    assert formatted.split()[0] == statement.split()[0]


def test_a_user_reads_its_own_rows_of_every_table_within_limits():
    made = creating("anna", "ab" * 32, Limits(seconds=2.5, rows=7))
    user = next(one for one in made if one.startswith("CREATE USER"))
    assert "readonly = 1" in user
    assert "max_execution_time = 2.5" in user
    assert "max_result_rows = 7" in user
    for table in RELATIONS:
        policies = [one for one in made if re.search(rf"ROW POLICY .* ON red\.{table} ", one)]
        assert [one for one in policies if "USING client_id = 'anna' TO `red_anna`" in one]
        assert [one for one in policies if "USING 1 TO CURRENT_USER" in one]
    [quota] = [one for one in made if "QUOTA" in one]
    assert quota.endswith(" FOR INTERVAL 1 hour MAX queries = 1000, execution_time = 900 TO `red_anna`")


def test_a_user_may_read_columns_that_exist(store):
    for grant in [one for one in creating("anna", "ab" * 32, Limits()) if one.startswith("GRANT")]:
        columns, table = re.fullmatch(r"GRANT SELECT\((.*)\) ON (\S+) TO .*", grant).groups()
        store.query(f"SELECT {columns} FROM {table} LIMIT 0")


@pytest.mark.parametrize("client", ["", "a`b", "A", "a; DROP USER x"])
def test_who_has_no_client_id_gets_no_user(client):
    for statements in (lambda: creating(client, "0" * 64, Limits()), lambda: dropping(client)):
        with pytest.raises(ValueError, match="no client id"):
            statements()
