"""SQL lives in one room, and only what a question is asked about reaches it."""

import ast
import re
from pathlib import Path

from red_stats.store import alert_queries, queries, statistics

ROOT = Path(queries.__file__).parents[1]
EVIL = "x' OR 1 = 1 --"
ASKED = statistics.Range(EVIL, 1, 5, 10**9)
MANY = [n / 100 for n in range(50)]
STATISTICS = [
    statistics.Counts([0.25]), statistics.Counts(MANY), statistics.Amounts(),
    statistics.Series([5, 9], [0.25]), statistics.Series([5, 9], MANY),
]  # fmt: skip
SQL = re.compile(r"\b(SELECT\b.*|INSERT INTO|DROP TABLE|CREATE TABLE|ALTER TABLE|EXCHANGE TABLES)\b")


def test_no_other_room_holds_sql():
    for path in ROOT.rglob("*.py"):
        if "store" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not SQL.search(node.value), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_what_a_client_names_is_a_parameter_and_never_part_of_the_text():
    asked = [
        *(
            statistics.from_images(statistic, source, ASKED.partition, mark)
            for statistic in STATISTICS
            for source in (statistics.every_image(ASKED), statistics.not_sealed(ASKED, 7))
            for mark in (None, 9)
        ),
        *(statistics.from_seals(statistic, ASKED) for statistic in STATISTICS),
        statistics.measurements(ASKED, "CSV", limit=9, over=0.5, behind=statistics.Place(1, 2), upto=7),
        alert_queries.newest_alerts(EVIL, 10, 5),
        alert_queries.alerts_of(EVIL, EVIL, 0, 5),
        alert_queries.deliveries(
            EVIL, limit=5, subscription_id=EVIL, state=EVIL, before=alert_queries.Made(7, EVIL), among=9
        ),
        alert_queries.delivery(EVIL, delivery_id=EVIL),
        alert_queries.delivery(EVIL, alert_id=EVIL),
        queries.amounts(1, 0, 10, client_id=EVIL),
        statistics.images(ASKED, 10),
        statistics.image_ids(EVIL, [3]),
    ]
    for sql, parameters in asked:
        assert EVIL not in sql
        assert EVIL in parameters.values()
        assert set(re.findall(r"\{(\w+):", sql)) == parameters.keys()


def test_filters_that_are_not_given_are_not_asked_for():
    sql, parameters = alert_queries.deliveries("anna", limit=5)
    assert "HAVING" not in sql
    assert parameters == {"c": "anna"}
