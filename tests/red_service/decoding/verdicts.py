"""What a test says of an image: its numbers, or the code of its refusal."""

from pathlib import Path

import pytest

from red_service.decoding.image import Measured, measure
from red_service.problems import Rejected

CASES = Path(__file__).with_name("cases")


def case(name: str) -> bytes:
    """A small image that somebody's decoder opens and RED once did not, or that it measured wrong."""
    return (CASES / name).read_bytes()


def verdict(content: bytes) -> dict | str:
    """The amounts without the decoder's name, or the code of the refusal."""
    try:
        found = measure(content)
    except Rejected as rejected:
        return rejected.code
    return {name: getattr(found, name) for name in Measured.__struct_fields__ if name != "decoder"}


def refusal(content: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        measure(content)
    return caught.value
