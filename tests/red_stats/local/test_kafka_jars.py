import hashlib

import pytest

from red_stats.local.kafka_jars import Jar, JarError, ensure_jars, read_lock


def a_jar(content=b"jar"):
    return Jar("group", "artifact", "1.0", hashlib.sha256(content).hexdigest())


def serving(content, asked):
    def download(jar, folder):
        asked.append(jar.file_name)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / jar.file_name
        path.write_bytes(content)
        return path

    return download


def test_what_is_there_and_whole_is_not_fetched_again(tmp_path):
    asked = []
    ensure_jars(tmp_path, [a_jar()], serving(b"jar", asked))
    ensure_jars(tmp_path, [a_jar()], serving(b"jar", asked))

    assert asked == ["artifact-1.0.jar"]


def test_a_jar_with_another_hash_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(JarError, match="hash is different"):
        ensure_jars(tmp_path, [a_jar()], serving(b"tampered", []))

    assert not list(tmp_path.glob("*.jar*"))


def test_a_damaged_jar_is_fetched_again(tmp_path):
    ensure_jars(tmp_path, [a_jar()], serving(b"jar", []))
    (tmp_path / "artifact-1.0.jar").write_bytes(b"ja")

    ensure_jars(tmp_path, [a_jar()], serving(b"jar", []))

    assert (tmp_path / "artifact-1.0.jar").read_bytes() == b"jar"


def test_the_lock_names_each_jar_once_with_its_hash():
    jars = read_lock()

    assert len({jar.file_name for jar in jars}) == len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)
