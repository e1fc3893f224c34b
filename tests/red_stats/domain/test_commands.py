import orjson
import pytest

from red_common.problems import Problem
from red_stats.domain.commands import Context, decide, read_envelope
from red_stats.domain.subscriptions import active_versions, decode, encode
from red_stats.domain.urls import refusal
from tests.builders import NOW, a_client_of

CLIENT = a_client_of(3)


def context(**changes):
    base = Context(
        partition=3, partitions=4, offset=0, at=NOW, stamp=100, mark=99,
        seal=lambda client, subscription: "sealed", opens=lambda *_: True, url_refusal=refusal,
    )  # fmt: skip
    return base._replace(**changes)


def command(name="subscribe", **fields):
    base = {"command": name, "command_id": "c-1", "client_id": CLIENT}
    if name == "subscribe":
        base |= {"webhook_url": "https://example.com/h", "threshold": 0.25}
    return orjson.dumps(base | fields)


def written(threshold, name="subscribe"):
    """A command whose threshold is written exactly so."""
    return command(name, threshold=0.123).replace(b"0.123", threshold.encode())


def obeyed(value, client=None, **changes):
    return decide(value, CLIENT.encode(), client, context(**changes))


def refused(value, client=None, key=None):
    with pytest.raises(Problem) as caught:
        decide(value, key or CLIENT.encode(), client, context())
    return caught.value.code


@pytest.fixture
def subscribed():
    return obeyed(command())


def test_a_new_subscription_is_in_force_from_the_stamp(subscribed):
    assert subscribed.subscription.public().in_force_from == "3:100"
    assert [j.since for j in active_versions(subscribed.client)] == [100]


def test_an_update_ends_the_old_version_where_the_new_one_starts(subscribed):
    change = obeyed(
        command("update", subscription_id=subscribed.subscription.id, threshold=0.5),
        subscribed.client,
        stamp=150,
    )

    ranges = [(j.version, j.threshold_bp, j.since, j.until) for j in active_versions(change.client)]
    assert ranges == [(1, 2500, 100, 150), (2, 5000, 150, None)]


def test_a_closed_range_leaves_once_the_mark_has_passed_it(subscribed):
    named = {"subscription_id": subscribed.subscription.id}
    second = obeyed(command("disable", **named), subscribed.client, stamp=150)
    third = obeyed(command("enable", **named), second.client, stamp=160, mark=149)

    assert [j.since for j in active_versions(third.client)] == [160]


@pytest.mark.parametrize("reason", [None, "holidays"])
def test_a_version_that_its_client_disabled_judges_nothing(subscribed, reason):
    named = {"subscription_id": subscribed.subscription.id} | ({"reason": reason} if reason else {})
    change = obeyed(command("disable", **named), subscribed.client)

    assert active_versions(change.client) == ()
    assert change.subscription.disabled_reason == reason


@pytest.mark.parametrize("reason", ["gone", "failing"])
def test_a_version_that_the_system_disabled_goes_on_judging_until_its_client_disables_it(subscribed, reason):
    named = {"subscription_id": subscribed.subscription.id}
    gone = obeyed(command("disable", **named, reason=reason), subscribed.client, stamp=150)
    changed = obeyed(command("update", **named, threshold=0.5), gone.client, stamp=160)
    ended = obeyed(command("update", **named, enabled=False), changed.client, stamp=170)

    assert not gone.subscription.enabled
    assert not changed.subscription.enabled
    assert [(j.since, j.until) for j in active_versions(ended.client)] == [(100, 150), (150, 160), (160, 170)]
    enabled = obeyed(command("enable", **named), changed.client, stamp=170)
    assert (enabled.subscription.enabled, enabled.subscription.holds) == (True, False)


def test_a_version_written_before_the_system_held_alerts_judges_nothing_still(subscribed):
    old = orjson.loads(encode(subscribed.client))
    row = old["subscriptions"][0]
    row |= {"enabled": False, "disabled_reason": "gone"}
    del row["holds"], row["max_age"]
    assert active_versions(decode(orjson.dumps(old))) == ()


def test_a_new_subscription_alerts_about_images_of_a_day_and_one_from_before_that_field_of_any_age(
    subscribed,
):
    old = orjson.loads(encode(subscribed.client))
    del old["subscriptions"][0]["max_age"]
    before = decode(orjson.dumps(old))
    assert [j.max_age for j in active_versions(subscribed.client)] == [86_400]
    assert [j.max_age for j in active_versions(before)] == [None]
    named = {"subscription_id": subscribed.subscription.id}
    changed = obeyed(command("update", **named, threshold=0.5), before, stamp=150)
    limited = obeyed(command("update", **named, max_age=60), changed.client, stamp=160)
    free = obeyed(command("update", **named, max_age=None), limited.client, stamp=170)
    assert [j.max_age for j in active_versions(free.client)] == [None, None, 60, None]
    assert decode(encode(free.client)) == free.client


def updated(before, **fields):
    return obeyed(
        command("update", subscription_id=before.subscription.id, **fields), before.client, stamp=150
    )


def test_a_subscription_alerts_about_each_image_unless_it_says_crossing():
    assert [(s.trigger, s.rearm_below) for s in obeyed(command()).client.subscriptions] == [("each", None)]
    followed = obeyed(command(trigger="crossing"))
    apart = obeyed(command(trigger="crossing", rearm_below=0.1))
    assert [v.rearm_below for v in active_versions(followed.client)] == [2500]
    assert [v.rearm_below for v in active_versions(apart.client)] == [1000]
    assert decode(encode(apart.client)) == apart.client
    assert apart.subscription.public().whole(apart.subscription.private()) == apart.subscription


def test_rearm_below_follows_the_threshold_until_it_is_named_and_null_lets_it_follow_again():
    followed = updated(obeyed(command(trigger="crossing")), threshold=0.5)
    apart = updated(followed, rearm_below=0.4)
    again = updated(apart, rearm_below=None)
    backs = [[v.rearm_below for v in active_versions(one.client)] for one in (followed, apart, again)]
    assert [back[-1] for back in backs] == [5000, 4000, 5000]


def test_the_trigger_each_drops_rearm_below_and_a_closed_version_keeps_its_own():
    crossing = obeyed(command(trigger="crossing", rearm_below=0.1))
    each = updated(crossing, trigger="each")
    assert (each.subscription.trigger, each.subscription.rearm_below) == ("each", None)
    assert [v.rearm_below for v in active_versions(each.client)] == [1000, None]
    assert updated(each, trigger="crossing").subscription.rearm_below is None


def test_sealed_headers_stand_in_the_list_and_only_their_names_are_seen():
    sealed = {"names": ["X-One"], "encrypted": "k.x"}
    made = obeyed(command(headers=sealed))
    assert made.subscription.public().headers == {"X-One": "***"}
    assert made.subscription.public().whole(made.subscription.private()) == made.subscription
    assert decode(encode(made.client)) == made.client
    assert updated(made, threshold=0.5).subscription.headers == made.subscription.headers
    assert updated(made, headers=None).subscription.headers is None
    assert refused(command(headers=sealed | {"names": ["Host"]})) == "invalid_command"
    with pytest.raises(Problem) as caught:
        obeyed(command(headers=sealed, secret="k.y"), opens=lambda _, bound, text: text == "k.y")
    assert caught.value.code == "secret_unreadable"


def test_a_list_never_grows_beyond_what_fits_into_a_record_and_may_always_shrink():
    sealed = {"names": ["X"], "encrypted": "k." + "x" * 16_000}
    client = None
    for number in range(48):
        client = obeyed(command(command_id=f"c-{number}", headers=sealed), client).client
    assert 750_000 < len(encode(client)) < 900_000
    assert refused(command(command_id="c-49", headers=sealed), client) == "too_many_subscriptions"
    one = client.subscriptions[0].id
    assert obeyed(command("disable", subscription_id=one), client).subscription.enabled is False
    assert obeyed(command("update", subscription_id=one, headers=None), client).subscription.headers is None
    assert refused(command(headers=sealed | {"encrypted": "x" * 16_400})) == "invalid_command"


def test_rearm_below_is_never_over_the_threshold_of_its_version():
    crossing = obeyed(command(trigger="crossing", rearm_below=0.2))
    named = {"subscription_id": crossing.subscription.id}
    assert refused(command("update", **named, threshold=0.1), crossing.client) == "threshold_out_of_range"
    assert refused(command("update", **named, rearm_below=0.3), crossing.client) == "threshold_out_of_range"
    lower = updated(crossing, threshold=0.1, rearm_below=0.1)
    assert [v.rearm_below for v in active_versions(lower.client)] == [2000, 1000]


@pytest.mark.parametrize("field", ["description", "reason", "secret", "webhook_url"])
def test_a_byte_that_is_no_utf_8_is_an_invalid_command_wherever_it_stands(field):
    value = command(**{field: "rede"}).replace(b"rede", b"red\xe9")
    read_envelope(value)
    assert refused(value) == "invalid_command"


def rotated(client, subscription, at=NOW, **fields):
    return obeyed(command("rotate_secret", subscription_id=subscription.id, **fields), client, at=at)


def test_rotation_keeps_the_old_secret_for_a_day(subscribed):
    change = rotated(subscribed.client, subscribed.subscription)

    assert [s.until for s in change.subscription.secrets] == [None, NOW + 86_400_000]


def test_every_secret_within_its_overlap_is_kept_newest_first_and_no_other(subscribed):
    first = rotated(subscribed.client, subscribed.subscription)
    second = rotated(first.client, first.subscription, at=NOW + 1000, overlap_seconds=60)
    third = rotated(second.client, second.subscription, at=NOW + 2000, overlap_seconds=0)
    fourth = rotated(third.client, third.subscription, at=NOW + 61_000, overlap_seconds=604_800)

    day, minute = NOW + 86_400_000, NOW + 61_000
    assert [s.until for s in second.subscription.secrets] == [None, minute, day]
    assert [s.until for s in third.subscription.secrets] == [None, minute, day]
    assert [s.until for s in fourth.subscription.secrets] == [None, NOW + 61_000 + 604_800_000, day]


def test_the_twenty_first_secret_that_would_overlap_is_refused(subscribed):
    change = subscribed
    for _ in range(19):
        change = rotated(change.client, change.subscription)
    with pytest.raises(Problem, match="too_many_secrets"):
        rotated(change.client, change.subscription)
    assert len(rotated(change.client, change.subscription, at=NOW + 86_400_000).subscription.secrets) == 2


def test_a_list_survives_its_changelog(subscribed):
    assert decode(encode(subscribed.client)) == subscribed.client


def test_the_hundred_and_first_subscription_is_refused():
    client = None
    for number in range(100):
        client = obeyed(command(command_id=f"c-{number}"), client).client

    assert refused(command(command_id="c-100"), client) == "too_many_subscriptions"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (command("shout"), "unknown_command"),
        (command(colour="red"), "invalid_command"),
        (command(threshold=0.12345), "threshold_out_of_range"),
        (command(threshold=1.5), "threshold_out_of_range"),
        (command(threshold="high"), "invalid_command"),
        (command(max_age=0), "value_out_of_range"),
        (command(max_age=1 << 60), "value_out_of_range"),
        (command(max_age=1.5), "invalid_command"),
        (command(threshold="0.25"), "invalid_command"),
        (command(trigger="edge"), "invalid_command"),
        (command(trigger=None), "invalid_command"),
        (command(rearm_below=0.1), "invalid_command"),
        (command(trigger="each", rearm_below=0.1), "invalid_command"),
        (command(trigger="crossing", rearm_below="0.1"), "invalid_command"),
        (command(trigger="crossing", rearm_below=True), "invalid_command"),
        (command(trigger="crossing", rearm_below=0.26), "threshold_out_of_range"),
        (command(trigger="crossing", rearm_below=-0.1), "threshold_out_of_range"),
        (command(trigger="crossing", rearm_below=0.00001), "threshold_out_of_range"),
        (command(threshold=True), "invalid_command"),
        (command(threshold=None), "invalid_command"),
        (command(threshold=[0.25]), "invalid_command"),
        (written("0.25000001"), "threshold_out_of_range"),
        (written("0.2500000001"), "threshold_out_of_range"),
        (written("0.25000000000000000000001"), "threshold_out_of_range"),
        (written("0.30000000000000004"), "threshold_out_of_range"),
        (written("1e-5"), "threshold_out_of_range"),
        (written("1e400"), "threshold_out_of_range"),
        (written("1e99999999999999999999"), "threshold_out_of_range"),
        (written("1" * 5000), "invalid_command"),
        (command(subscription_id="１" * 32), "invalid_command"),
        (command(subscription_id="-" * 100 + "a" * 32), "invalid_command"),
        (command(subscription_id=" " + "a" * 31), "invalid_command"),
        (command(webhook_url="http://10.0.0.1/"), "webhook_url_refused"),
        (command("update", subscription_id="nobody", threshold=0.1), "not_found"),
        (command("update", threshold=0.1), "invalid_command"),
    ],
)
def test_what_is_wrong_with_a_command_has_a_code(value, code):
    assert refused(value) == code


@pytest.mark.parametrize("text", ["0.25", "0.2500", "0.25000", "25e-2", "2.5e-1"])
def test_a_threshold_may_be_written_in_any_way(text):
    assert obeyed(written(text)).subscription.threshold == 0.25


def test_whole_numbers_are_thresholds():
    assert [obeyed(written(text)).subscription.threshold for text in ("0", "1", "-0", "1.0")] == [0, 1, 0, 1]


def test_a_rejection_quotes_little_of_the_command():
    for value in (command("x" * 900_000), command(**{"y" * 900_000: 1}), command(webhook_url="z" * 900_000)):
        with pytest.raises(Problem) as caught:
            decide(value, CLIENT.encode(), None, context())
        assert len(orjson.dumps(caught.value.as_dict())) < 2000


def test_a_key_that_is_not_the_client_is_refused():
    assert refused(command(), key=b"other") == "key_mismatch"


def test_a_stale_version_changes_nothing(subscribed):
    value = command("disable", subscription_id=subscribed.subscription.id, if_version=7)

    assert refused(value, subscribed.client) == "version_conflict"


def test_the_envelope_is_enough_to_answer():
    envelope = read_envelope(command("shout", colour="red"))

    assert (envelope.command_id, envelope.client_id) == ("c-1", CLIENT)
