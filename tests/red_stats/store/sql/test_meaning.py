"""What is not refused means to the engine what its author wrote."""

import pytest

from red_stats.store.clickhouse import StoreError
from red_stats.store.sql.functions import AGGREGATES, SCALARS, WINDOW, is_allowed
from red_stats.store.sql.judge import judge

ARGUMENTS = [
    "", "1", "'a'", "0.5", "[1, 2]", "['a', 'b']", "now()", "today()", "map('a', 1)", "(1, 2)", "1, 2",
    "'a', 'b'", "0.5, 2", "[1, 2], 1", "[1, 2], [3, 4]", "['a'], 'a'", "now(), 1", "today(), 1",
    "'UTC', now()", "now(), 'UTC'", "1, 'a'", "'a', 1", "map('a', 1), 'a'", "map('a', 1), map('a', 1)",
    "(1, 2), (3, 4)", "(1, 2), 1", "x -> x, [1, 2]", "x -> x > 1, [1, 2]",
    "(k, v) -> v > 0, map('a', 1)", "(k, v) -> (k, v), map('a', 1)", "now(), toIntervalHour(1)",
    "'day', now(), now()", "'hour', now()", "now(), '%Y'", "'2020-01-01 00:00:00', 'UTC'", "1, 2, 3",
    "'a', 'b', 'c'", "'a', 1, 1", "1, 'a', 'b'", "[1, 2], 1, 1", "(acc, x) -> acc + x, [1, 2], 0",
    "1, [1], [2], 3", "2020, 1, 1", "2020, 1, 1, 1, 1, 1", '\'{"a": 1}\', \'a\'',
    '\'{"a": 1}\', \'a\', \'UInt8\'', "'1', 'UInt8'", "1, 0, 10, 5", "10, [1], 2", "4, now(), 1",
    "generateUUIDv4()", "'2020-01-01', '%Y-%m-%d'", "now(), now()", "now(), 3600, 60",
    "now(), toUInt32(600), 60", "now64()", "toInt64(1)", "toUInt64(1)", "1, 1, 1, 1", "[1], [1], 2",
    "3, 'a'", "0, 1", "'a b'", "'http://a.b/c?d=e'", "'http://a.b/c?d=e', 'd'", "[0.1, 0.2], [1, 0]",
    "toDateTime64(now(), 3)", "'3b9aca00-0000-4000-8000-000000000000'", "unhex('00')",
    "sumState(number)", "toUInt32(1)", "x -> x, 1, [1, 2]", "1, now()", "'2020-01-01 00:00:00'",
    "'a b', ' ', 1", "'ab', '(a)'", "'aGk='", "(acc, x) -> acc + x, [1, 2], toInt64(0)",
    "toFixedString('a', 16)", "2", "1, [1, 2]", "'a', ['a']",
]  # fmt: skip
PARAMETERS = {
    "groupArrayInsertAt": "('x', 2)",
    "groupArrayLast": "(2)",
    "histogram": "(2)",
    "quantileDeterministic": "(0.5)",
    "sequenceCount": "('(?1)')",
    "sequenceMatch": "('(?1)')",
    "windowFunnel": "(10)",
    "exponentialMovingAverage": "(0.5)",
    "quantilesTiming": "(0.5, 0.9)",
    "quantiles": "(0.5, 0.9)",
    "quantilesExact": "(0.5)",
    "quantilesTDigest": "(0.5)",
    "quantilesExactHigh": "(0.5)",
    "quantilesExactLow": "(0.5)",
}
FRAME = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
TEXTS = [
    "SELECT toStartOfHour(now()), date_trunc('hour', now()), toStartOfInterval(now(), INTERVAL 15 MINUTE)",
    "SELECT now() - INTERVAL 1 DAY < now(), today() + INTERVAL '2' MONTH > today()",
    "SELECT 1 + 2 * 3 - 4 / 5 % 6, -1, 7 DIV 2, 'a' || 'b', (1 + 2) * 3, 2 - (1 - 1)",
    "SELECT 1 = 1 AND NOT 0 OR 1 != 2, 1 < 2, 1 <= 2, 1 > 2, 1 >= 2, 1 == 1, 1 <> 2, 3 BETWEEN 1 AND 5",
    "SELECT 'abc' LIKE 'a%', 'abc' NOT LIKE 'b%', 'ABC' ILIKE 'a%', NULL IS NULL, 1 IS NOT NULL",
    "SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'c' END, if(1, 'a', 'b')",
    "SELECT multiIf(0, 1, 1, 2, 3), coalesce(NULL, 2), ifNull(NULL, 3), nullIf(1, 1)",
    "SELECT 5::UInt8, '5'::UInt16, CAST(5 AS String), CAST('7', 'Int32'), CAST('2020-01-01' AS Date)",
    "SELECT CAST([1, 2] AS Array(String)), CAST((1, 'a') AS Tuple(UInt8, String)), CAST('a' AS "
    "Nullable(String))",
    "SELECT CAST('a' AS Enum8('a' = 1)), CAST(1.5 AS Decimal(10, 2)), toTypeName(CAST(now() AS "
    "DateTime64(3, 'UTC')))",
    "SELECT CAST('a' AS LowCardinality(String)), CAST(map('a', 1) AS Map(String, UInt8)), CAST('ab' "
    "AS FixedString(2))",
    "SELECT 'it''s', 'it\\'s', 'a\\\\b', '\\n\\t', '\\x41', 'é☃', 'a\\0b', '%_', '{x}', '$$', '--', '/*', "
    "''",
    "SELECT 1e5, 1.5, .5, 0xff, 0b11, 1_000, 18446744073709551615, NULL, true, false",
    "SELECT [1, 2, 3][2], map('a', 1)['a'], (1, 'x').2, tuple(1, 2).1, [[1], [2]][1][1]",
    "SELECT arrayMap(x -> x * 2, [1, 2]), arrayMap((x, y) -> x + y, [1], [2]), arrayFilter(x -> x > "
    "1, [1, 2, 3])",
    "SELECT arraySort(x -> -x, [1, 3, 2]), arrayFold((acc, x) -> acc + x, [1, 2], toInt64(0)), "
    "arrayExists(x -> x = 1, [1])",
    "SELECT count(), sum(number), avg(number), min(number), max(number), uniqExact(number) FROM "
    "numbers(10)",
    "SELECT quantile(0.9)(number), quantiles(0.5, 0.9)(number), topK(3)(number), median(number) FROM"
    " numbers(10)",
    "SELECT sumIf(number, number > 5), countIf(number % 2 = 0), avgOrNull(number), sum(number) "
    "FILTER (WHERE number > 3) FROM numbers(10)",
    "SELECT count(DISTINCT number % 3), groupArray(3)(number), any(number), argMax(number, -number) "
    "FROM numbers(10)",
    "SELECT quantileIf(0.5)(number, number > 3), uniqMerge(s) FROM (SELECT number, uniqState(number)"
    " AS s FROM numbers(10) GROUP BY number) AS x",
    "SELECT number % 3 AS k, count() AS n FROM numbers(10) GROUP BY k HAVING n > 1 ORDER BY n DESC, "
    "k LIMIT 2 OFFSET 1",
    "SELECT number FROM numbers(10) ORDER BY number DESC NULLS LAST LIMIT 1, 3",
    "SELECT number % 2 AS k, number FROM numbers(9) ORDER BY k, number LIMIT 2 BY k",
    "SELECT number FROM numbers(3) ORDER BY number WITH FILL FROM 0 TO 6 STEP 1",
    "SELECT k, count() FROM (SELECT number % 2 AS k FROM numbers(5)) AS x GROUP BY k WITH TOTALS "
    "ORDER BY k",
    "SELECT number % 2 AS k, count() FROM numbers(5) GROUP BY ROLLUP (k) ORDER BY k",
    "SELECT number % 2 AS a, number % 3 AS b, count() FROM numbers(6) GROUP BY GROUPING SETS ((a), "
    "(b)) ORDER BY a, b, count()",
    "SELECT number, sum(number) OVER (ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), "
    "row_number() OVER w, lagInFrame(number, 1) OVER w FROM numbers(4) WINDOW w AS (ORDER BY number)",
    "SELECT rank() OVER (PARTITION BY number % 2 ORDER BY number DESC) AS r FROM numbers(4) QUALIFY r = 1",
    "SELECT a.number, b.number FROM numbers(3) AS a LEFT JOIN numbers(2) AS b ON a.number = b.number"
    " ORDER BY 1",
    "SELECT * FROM (SELECT number FROM numbers(3)) AS a ANY INNER JOIN (SELECT number FROM "
    "numbers(2)) AS b USING number ORDER BY number",
    "SELECT count() FROM numbers(3) AS a CROSS JOIN numbers(2) AS b",
    "SELECT count() FROM numbers(3) AS a, numbers(2) AS b",
    "SELECT a.n, b.m FROM (SELECT number AS n, 1 AS one FROM numbers(5)) AS a ASOF JOIN (SELECT "
    "number * 2 AS m, 1 AS one FROM numbers(3)) AS b ON a.one = b.one AND a.n >= b.m ORDER BY a.n",
    "SELECT x, y FROM numbers(1) ARRAY JOIN [1, 2] AS x, [3, 4] AS y",
    "SELECT arrayJoin([1, 2]) AS x ORDER BY x",
    "WITH 5 AS five, t AS (SELECT number + five AS n FROM numbers(2)) SELECT n FROM t ORDER BY n",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t",
    "SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 3",
    "SELECT x FROM (SELECT 1 AS x UNION DISTINCT SELECT 1 UNION DISTINCT SELECT 2) AS t ORDER BY x",
    "SELECT 1 AS x EXCEPT SELECT 2",
    "SELECT 1 AS x INTERSECT SELECT 1",
    "SELECT 3 IN (1, 2, 3), 3 NOT IN (SELECT number FROM numbers(3)), (1, 2) IN ((1, 2), (3, 4)), 1 "
    "IN [1], 1 IN (1)",
    "SELECT DISTINCT number % 2 AS x FROM numbers(5) ORDER BY x",
    "SELECT DISTINCT ON (x) number % 2 AS x FROM numbers(5) ORDER BY x",
    "SELECT * EXCEPT (b) FROM (SELECT 1 AS a, 2 AS b) AS t",
    "SELECT * REPLACE (a + 1 AS a) FROM (SELECT 1 AS a, 2 AS b) AS t",
    "SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y')) ORDER BY a",
    "SELECT * FROM values('a UInt8, b Tuple(x Array(String), y DateTime)', (1, (['x'], 0))) ORDER BY a",
    "SELECT * FROM values(1, 2) ORDER BY 1",
    "SELECT (1,), toTypeName((1,)), ((1, 2),), tuple(1), toTypeName(((1))), ([1],)",
    "SELECT 99999999999999999999999::Int128, 99999999999999999999999::Decimal(40, 0), 0.1::Decimal(38, 30)",
    "SELECT 12345678901234567890123::String, -5::Int8, 1.50::String, CAST(1.50 AS String), 1e3::Float64",
    "SELECT [1, 2]::Array(UInt8), 5::UInt8 + 1, x::UInt8 FROM (SELECT 7 AS x) AS t",
    "SELECT 'a\\\\xff', '\\x7f', 'ÿ'",
    "SELECT CAST('a', 'Enum8(\\'a\\' = 1)'), CAST((1, 'x'), 'Tuple(a UInt8, b String)')",
    "SELECT accurateCast('5', 'UInt8')",
    "SELECT CAST(1, 'DateTime64(3, \\'UTC\\')'), JSONExtract('{\"a\": [1]}', 'a', 'Array(Nullable(UInt8))')",
    "SELECT arrayMap(x -> x + y, [1]), arraySort(z), arrayConcat(z, z), arraySlice(z, y) FROM "
    "(SELECT 2 AS y, [1] AS z) AS t",
    "SELECT EXISTS (SELECT 1), (SELECT max(number) FROM numbers(3))",
    'SELECT a AS "b c", `b c` || \'x\' FROM (SELECT \'z\' AS a) AS t',
    "SELECT toDateTime('2020-01-01 00:00:00', 'UTC') AT TIME ZONE 'UTC'",
    "SELECT sum(n), countIf(n > 1) FROM (SELECT number AS n FROM numbers(3)) AS t WHERE n != 0",
    "FROM numbers(2) SELECT number",
]  # fmt: skip


def outcome(store, sql):
    """The values of a query; what it has no value for, by the kind of error."""
    try:
        return store.query(sql)
    except StoreError as error:
        return str(error)[:9]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_generated_means_what_was_written(text, store):
    found, again = (outcome(store, sql) for sql in (text, judge(text, "anna", {}).sql))
    assert isinstance(found, list)
    if "ORDER BY" not in text:
        found, again = sorted(found, key=repr), sorted(again, key=repr)
    assert again == found


@pytest.mark.parametrize("name", [*AGGREGATES, *SCALARS])
def test_a_function_is_called_by_the_name_that_was_written(name):
    for written in (name, name.lower(), name.upper()):
        called = "NOT " if name == "not" else written
        said = judge(f"SELECT {written}('a', 'UInt8')", "anna", {}).sql
        assert said == f"SELECT {called}('a', 'UInt8')"
    if name in AGGREGATES:
        for call in (f"{name}(0.5)('a')", f"{name}If('a', 1)", f"{name}If(0.5)('a') OVER (ORDER BY 1)"):
            assert judge(f"SELECT {call}", "anna", {}).sql == f"SELECT {call}"


@pytest.mark.system
def test_every_function_keeps_its_type(store):
    never = []
    for name in (*AGGREGATES, *SCALARS):
        tried = 0
        for arguments in ARGUMENTS:
            frame = "" if name in ("lag", "lead") else FRAME
            over = f" OVER (ORDER BY 1 {frame})" if name in WINDOW else ""
            call = f"{name}{PARAMETERS.get(name, '')}({arguments}){over}"
            text = f"SELECT toTypeName({call}) FROM (SELECT 1 AS number) AS t"
            expected = outcome(store, text)
            if isinstance(expected, list):
                assert outcome(store, judge(text, "anna", {}).sql) == expected, call
                tried += 1
                break
        if not tried:
            never.append(name)
    assert never == []


def test_functions_that_do_not_exist_are_not_allowed(store):
    known = {name.lower() for [name] in store.query("SELECT name FROM system.functions")}
    assert {name for name in (*AGGREGATES, *SCALARS) if name.lower() not in known} == set()


def test_aggregates_take_combinators_and_nothing_else():
    assert is_allowed("sumIf")
    assert is_allowed("UNIQ")
    assert is_allowed("quantileArrayIf")
    assert not is_allowed("sumIfIfIfIf")
    assert not is_allowed("fileIf")
    assert not is_allowed("If2")
