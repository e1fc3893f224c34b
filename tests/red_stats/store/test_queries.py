"""SQL lives in one room, and only what a question is asked about reaches it."""

import ast
import re
from pathlib import Path

from red_stats.store import queries

ROOT = Path(queries.__file__).parents[1]
SQL = re.compile(r"\b(SELECT\b.*|INSERT INTO|DROP TABLE|CREATE TABLE|ALTER TABLE|EXCHANGE TABLES)\b")


def test_no_other_room_holds_sql():
    for path in ROOT.rglob("*.py"):
        if path.parent.name == "store":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not SQL.search(node.value), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_what_a_client_names_is_a_parameter_and_never_part_of_the_text():
    evil = "x' OR 1 = 1 --"
    asked = [
        queries.counts(evil, 1, 0, 10, [0.25]),
        queries.newest_alerts(evil, 10, 5),
        queries.alerts_of(evil, evil, 0, 5),
        queries.deliveries(
            evil, limit=5, subscription_id=evil, state=evil, before=queries.Made(7, evil), among=9
        ),
        queries.delivery(evil, delivery_id=evil),
        queries.delivery(evil, alert_id=evil),
        queries.amounts(1, 0, 10, client_id=evil),
    ]
    for sql, parameters in asked:
        assert evil not in sql
        assert evil in parameters.values()
        assert set(re.findall(r"\{(\w+):", sql)) == parameters.keys()


def test_filters_that_are_not_given_are_not_asked_for():
    sql, parameters = queries.deliveries("anna", limit=5)
    assert "HAVING" not in sql
    assert parameters == {"c": "anna"}
