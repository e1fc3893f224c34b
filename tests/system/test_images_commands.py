"""`red-stats measure` and `send` as people with image files use them."""

import json
from pathlib import Path

import pytest

from tests.red_service import builders as b


@pytest.fixture
def album(tmp_path):
    """A folder of five images and one file that is none."""
    for number in range(5):
        name = tmp_path / "album" / f"day{number % 2}" / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_bytes(b.a_png((255, 10 * number, 0)))
    (tmp_path / "album" / "broken.jpg").write_bytes(b"no image")
    return tmp_path / "album"


def test_measure_prints_the_redness_of_files_without_a_server(up, album):
    done = up.command("measure", str(album), "--json")
    found = {Path(item["file"]).name: item for item in json.loads(done.stdout)}
    assert (done.returncode, len(found)) == (1, 6)
    assert found["0.png"]["red"] == 1
    assert found["broken.jpg"]["problem"]["code"] == "unsupported_format"
    done = up.command("measure", str(album / "day0"))
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"100.00%  png         16x16  {album}/day0/0.png"
    assert done.stdout.splitlines()[-1] == "3 measured, 0 refused, 0 skipped"
    for arguments, code in (([], 2), ([str(album / "nothing")], 1)):
        done = up.command("measure", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_send_counts_a_file_once_however_often_it_is_run(up, album):
    ids = []
    for _ in range(2):
        done = up.command("send", str(album), "--json")
        found = json.loads(done.stdout)
        assert done.returncode == 1
        assert [one["problem"] and one["problem"]["code"] for one in found] == [
            "unsupported_format", None, None, None, None, None,
        ]  # fmt: skip
        ids.append([one["item"]["image_id"] for one in found if one["item"]])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 5
    done = up.command("send", str(album / "day1"), "--concurrency", "2")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "2 measured, 0 failed"
    assert ids[0][-1] in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no image files"),
        (["README.md", "--client-key", "red_x_y"], 2, "refuses the key"),
        (["README.md", "--concurrency", "0"], 2, "at least 1"),
    ],
)
def test_send_says_what_is_wrong(up, arguments, code, words):
    done = up.command("send", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert words in done.stderr
