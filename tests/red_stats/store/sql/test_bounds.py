"""Any text has its verdict soon, and what would grow beyond bounds is refused."""

import time
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from red_stats.store.sql.dialect import Plain
from red_stats.store.sql.errors import SqlRefused
from red_stats.store.sql.judge import judge
from tests.processor_time import least_seconds
from tests.red_stats.store.sql.test_meaning import TEXTS

WORDS = r"""
    SELECT FROM WHERE ( ) [ ] , . * 1 'a' "b" `c` { } x : -> :: IN AS red . measurements numbers
    WITH UNION ALL JOIN ARRAY ON USING GROUP BY ORDER LIMIT OFFSET SETTINGS FORMAT INTO OUTFILE ; --
    /* */ $$ EXPLAIN CASE WHEN THEN END NOT NULL INTERVAL DAY OVER count sum CAST ? @ # \ ' " ` = -
    + VALUES EXCEPT INTERSECT DISTINCT QUALIFY WINDOW SAMPLE FINAL LATERAL VIEW PIVOT UNNEST
""".split()  # noqa: SIM905


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(WORDS),
            max_size=40,
        ).map(" ".join),
        st.lists(st.sampled_from(["SELECT ", *TEXTS]), max_size=3).map(" ".join),
    )
)
@example("")
@example("SELECT 'a\ud800'")
@example("\ufeffSELECT 1")
@example("SELECT " + "(" * 3000)
@example("SELECT " + "[" * 3000)
@example("SELECT a" + "[1]" * 3000)
@example("SELECT " + "-" * 4000 + "1")
@example("SELECT " + "NOT " * 3000 + "1")
@example("SELECT 1" + " + 1" * 3000)
@example("SELECT " + "f(x -> " * 1500)
@example("SELECT " + "CASE WHEN " * 1500)
@example("SELECT 'x" * 5000)
@example("SELECT " + "1, " * 5000 + "1")
@example("SELECT 1" + " UNION ALL SELECT 1" * 900)
@example("x" * 20_000)
@example("SELECT CAST(1, '" + "Tuple(a " * 2000 + "')")
@example("SELECT CAST(1, 'Enum8(" + "\\'a\\' = 1, " * 1200 + "x)')")
@example("SELECT CAST(1, 'Enum8(\\'a\\'" + " " * 15000 + "x)')")
@example("SELECT * FROM values('" + "a Tuple(" * 1900 + "', 1)")
def test_any_text_gets_a_verdict(text):
    began = time.process_time()
    try:
        said = judge(text, "anna", {}).sql
    except SqlRefused as refused:
        said = f"{refused.reason}: {refused}"[:400]
    assert said
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "word",
    sorted({word for word in Plain.Tokenizer.KEYWORDS if word.isidentifier()} | {"Tuple", "Nested", "f"}),
)
def test_reading_takes_time_in_proportion_to_the_text(word):
    began = time.process_time()
    for opens, closes in (("(", ")"), (" (", ")"), ("<", ">")):
        for before in ("SELECT ", "SELECT x::"):
            with suppress(SqlRefused):
                judge(f"{before}{f'{word}{opens}' * 22}1{closes * 22}", "anna", {})
    assert time.process_time() - began < 3


def nested(level, levels, innermost):
    for _ in range(levels):
        innermost = level.format(innermost)
    return innermost


GROWING = [
    nested("SELECT tuple(x, x) AS x FROM ({})", 20, "SELECT 1 AS x"),
    nested("SELECT (x, x) AS x FROM ({})", 20, "SELECT 1 AS x"),
    nested("SELECT concat(x, x) AS x FROM ({})", 20, "SELECT tuple(1) AS x"),
    nested("SELECT x || x AS x FROM ({})", 20, "SELECT tuple(1) AS x"),
    nested("SELECT uniqState(x, x) AS x FROM ({})", 20, "SELECT 1 AS x"),
    nested("SELECT *, * FROM ({})", 20, "SELECT 1 AS x"),
    nested("SELECT t.*, t.* FROM ({}) AS t", 20, "SELECT 1 AS x"),
    nested("SELECT tuple(*) AS a, a AS b FROM ({})", 20, "SELECT 1 AS x"),
    "SELECT " + nested("arrayMap(x -> (x, x), {})", 20, "[1]"),
    "SELECT " + nested("arrayMap(x -> map(x, x), {})", 20, "[1]"),
    "WITH 1 AS a0, " + ", ".join(f"(a{n}, a{n}) AS a{n + 1}" for n in range(20)) + " SELECT a20",
    "WITH t0 AS (SELECT 1 AS x), "
    + ", ".join(f"t{n + 1} AS (SELECT * FROM t{n} AS a, t{n} AS b)" for n in range(20))
    + " SELECT count() FROM t20",
    "WITH x -> (x, x) AS upper SELECT " + nested("upper({})", 30, "1"),
]


@pytest.mark.parametrize("text", GROWING)
def test_a_text_makes_no_type_that_grows_by_a_factor_with_every_level(text):
    with pytest.raises(SqlRefused):
        judge(text, "anna", {})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT x IN (" + ", ".join(f"({n}, 'a')" for n in range(500)) + ") FROM (SELECT 1 AS x) AS t",
        "SELECT " + ", ".join(f"(red, {n}, width) AS t{n}" for n in range(12)) + " FROM measurements",
        nested("SELECT * FROM ({})", 10, "SELECT 1 AS x"),
        "SELECT concat(image_id, '-', rule, '-', format) FROM measurements GROUP BY (image_id, rule, format)",
    ],
)
def test_what_people_write_of_tuples_is_judged(text):
    assert judge(text, "anna", {}).sql


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SELECT " + ",".join(["{a:String}"] * 600), {"a": "'" * 235_000}),
        ("SELECT " + "||".join(["1"] * 1900), {}),
        ("SELECT 1 FROM " + ",".join(["measurements"] * 1001), {}),
        ("SELECT 1 FROM measurements" + " JOIN measurements ON 1" * 700, {}),
    ],
    ids=["a parameter in many places", "bars", "tables", "joins"],
)
def test_what_would_take_long_to_write_is_refused_at_once(text, values):
    def refusal():
        with pytest.raises(SqlRefused) as refused:
            judge(text, "anna", values)
        return refused.value.reason

    took, reasons = least_seconds(refusal, limit=1)
    assert reasons <= {"too_long", "too_complex"}
    assert took < 1


def test_a_long_parameter_may_stand_once():
    assert judge("SELECT length({a:String})", "anna", {"a": "x" * 240_000}).parameters == {"a"}
