"""What is refused is refused in words that say why and where."""

from contextlib import suppress

import pytest
from sqlglot import exp

from red_stats.store.clickhouse import StoreError
from red_stats.store.sql.checks import check
from red_stats.store.sql.errors import SqlRefused
from red_stats.store.sql.judge import judge


def test_a_name_alone_tells_nothing_of_the_server(store):
    told = {"now", "today", "localtime", "current_date", "current_timestamp", "localtimestamp", "curdate"}
    for [name] in store.query("SELECT name FROM system.functions"):
        with suppress(SqlRefused, StoreError):
            assert store.query(judge(f"SELECT `{name}`", "anna", {}).sql) is None or name in told, name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not_one_statement"),
        ("SELECT 1; SELECT 2", "not_one_statement"),
        ("DROP TABLE measurements", "not_select"),
        ("SELECT FROM WHERE", "unreadable"),
        ("SELECT 1 SETTINGS max_threads = 1", "settings"),
        ("SELECT hostName()", "function"),
        ("SELECT * FROM file('x')", "table_function"),
        ("SELECT * FROM other", "table"),
        ("SELECT * FROM default.measurements", "table"),
        ("SELECT {x:Identifier}", "parameter"),
        ("SELECT {missing:UInt8}", "parameter"),
        ("SELECT CAST(1 AS AggregateFunction(sum, UInt8))", "type"),
        ("SELECT 1 AS `a;b`", "name"),
        ("SELECT " + "(" * 60 + "1" + ")" * 60, "too_complex"),
        ("SELECT '" + "x" * 20_000 + "'", "too_long"),
        ("SELECT " + "Tuple(" * 45 + "1" + ")" * 45, "too_complex"),
        ("SELECT CAST(1, '" + "Array(" * 1500 + "UInt8" + ")" * 1500 + "')", "too_complex"),
        ("SELECT 1::" + "Tuple(" * 45 + "UInt8" + ")" * 45, "too_complex"),
        ("SELECT " + "date (" * 45 + "1" + ")" * 45, "too_complex"),
    ],
)
def test_a_refusal_says_why(text, reason):
    with pytest.raises(SqlRefused) as refused:
        judge(text, "anna", {})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "text",
    [
        "WITH a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT * FROM a",
        "WITH a AS (SELECT * FROM a) SELECT * FROM a",
        "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) AS x, a",
        "WITH 1 AS a SELECT * FROM a",
        "WITH measurements AS (SELECT 1) SELECT * FROM measurements",
    ],
)
def test_a_name_is_a_table_only_where_with_defines_it(text):
    with pytest.raises(SqlRefused, match="table"):
        judge(text, "anna", {})


@pytest.mark.parametrize(
    "rows", ["(VALUES (1, 2))", "(VALUES (1), (2))", "((values (1, 2), (3, 4)))", "( /* */ VALUES(1))"]
)
def test_values_in_parentheses_are_refused_and_not_read_as_other_rows(rows):
    for text in (f"SELECT * FROM {rows}", f"SELECT * FROM {rows} AS t", f"WITH t AS {rows} SELECT * FROM t"):
        with pytest.raises(SqlRefused, match=r"FROM values\(\(1, 2\), \(3, 4\)\)") as refused:
            judge(text, "anna", {})
        assert refused.value.position == text.lower().index("values")


def test_values_that_are_called_are_the_rows_that_were_written(store):
    for text, rows in (
        ("SELECT * FROM values((1, 2), (3, 4))", [(1, 2), (3, 4)]),
        ("SELECT * FROM values((1, 2))", [(1, 2)]),
        ("SELECT * FROM VALUES('a UInt8, b UInt8', (1, 2))", [(1, 2)]),
    ):
        assert store.query(judge(text, "anna", {}).sql) == rows


def test_a_format_in_the_text_is_taken_off():
    judged = judge("SELECT 1 FORMAT CSV", "anna", {})
    assert (judged.sql, judged.format) == ("SELECT 1", "CSV")


def test_what_drivers_ask_is_answered_for_drivers_only(store):
    for text in ("SELECT version()", "SELECT * FROM system.settings", "SELECT currentUser()"):
        with pytest.raises(SqlRefused):
            judge(text, "anna", {})
        assert "anna" in str(store.query(judge("SELECT currentUser()", "anna", {}, drivers=True).sql))
        assert store.query(judge(text, "anna", {}, drivers=True).sql)
    tables = judge("SELECT name FROM system.tables ORDER BY name", "anna", {}, drivers=True)
    assert store.query(tables.sql) == [("alerts",), ("deliveries",), ("measurements",)]
    for table in ("tables", "columns"):
        said = judge(
            f"SELECT DISTINCT database FROM system.{table} WHERE database = 'red'", "anna", {}, drivers=True
        )
        assert store.query(said.sql) == [("red",)]
    for text in ("SELECT database", "SELECT database FROM system.one", "SELECT user FROM system.tables"):
        with pytest.raises(SqlRefused):
            judge(text, "anna", {}, drivers=True)
    for name in ("processes", "parts", "functions", "query_log"):
        with pytest.raises(SqlRefused):
            judge(f"SELECT * FROM system.{name}", "anna", {}, drivers=True)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT count()\nFROM measures WHERE red > 0.5", "measures"),
        ("SELECT 1\nFROM system.one", "system"),
        ("SELECT red FRM\n measurements", "measurements"),
        ("SELECT * FROM measurements SETTINGS max_threads = 1", None),
        ("SELECT 1; SELECT 2", None),
    ],
)
def test_a_refusal_says_which_word_it_is_about(text, word):
    with pytest.raises(SqlRefused) as refused:
        judge(text, "anna", {})
    assert refused.value.position == (None if word is None else text.index(word))


ODD = "x'); DROP"


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        *((exp.Join(this=exp.to_table("a"), **{name: ODD}), "not_allowed") for name in ("side", "kind")),
        (exp.Ordered(this=exp.column("a"), nulls_first=ODD), "not_allowed"),
        (exp.Var(this=ODD), "not_allowed"),
        (exp.Var(this="x" * 41), "not_allowed"),
        *((kind(this=text), "unreadable") for kind in (exp.HexString, exp.BitString) for text in ("g", ODD)),
        (exp.HexString(this="٣"), "unreadable"),
        *(
            (exp.Exists(this=what), "table")
            for what in (exp.to_table("a"), exp.column("a"), exp.Literal.number(1))
        ),
    ],
    ids=repr,
)
def test_whatever_sqlglot_takes_for_a_word_or_a_number_is_no_more_than_that(node, reason):
    with pytest.raises(SqlRefused) as refused:
        check(node, {})
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "node",
    [
        exp.Join(this=exp.to_table("a"), side="LEFT", kind="SEMI"),
        exp.Var(this="DAY"),
        exp.HexString(this="00fF"),
        exp.BitString(this="101"),
        exp.Exists(this=exp.select("1")),
    ],
    ids=repr,
)
def test_words_and_numbers_are_allowed(node):
    check(node, {})
