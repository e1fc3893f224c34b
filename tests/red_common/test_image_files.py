"""Which files a command reads, and what it says of the others."""

import os

from red_common.image_files import image_files


def test_a_folder_stands_for_the_images_in_it_and_nothing_is_left_out_in_silence(tmp_path):
    for name in ("b.png", "a/2.JPG", "a/1.avif", "a/notes.txt", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")

    found = image_files([tmp_path])

    assert found.paths == [tmp_path / name for name in ("a/1.avif", "a/2.JPG", "b.png")]
    assert {(path.name, why) for path, why in found.skipped} == {
        ("notes.txt", "not an image by its name"),
        ("b", "not an image by its name"),
        ("pipe.png", "not a file"),
        ("lost.png", "not a file"),
    }


def test_what_is_named_itself_is_read_whatever_its_name(tmp_path):
    named = [tmp_path / "x", tmp_path / "notes.txt"]

    assert image_files(named) == (named, [])
