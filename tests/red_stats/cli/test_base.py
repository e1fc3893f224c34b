"""A secret need not stand on the command line."""

import io

import pytest

from red_stats.cli.base import secret_from


def test_a_secret_comes_from_a_file_from_stdin_or_as_itself(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("red_a_b\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("red_c_d\nmore\n"))

    assert secret_from(f"@{tmp_path}/key") == "red_a_b"
    assert secret_from("-") == "red_c_d"
    assert secret_from("red_e_f") == "red_e_f"


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        secret_from(f"@{tmp_path}/key")
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
