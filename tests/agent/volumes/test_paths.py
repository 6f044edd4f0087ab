import pytest

from agent.volumes.errors import BadName
from agent.volumes.paths import DEPTH_MAX, folded, parts


def test_a_path_is_its_names() -> None:
    assert parts("/") == ()
    assert parts("/VM 1/dïsk.vhd") == ("VM 1", "dïsk.vhd")
    assert parts("/" + "é" * 127) == ("é" * 127,)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "//",
        "/a/",
        "/a//b",
        "/.",
        "/..",
        "/a/../b",
        "/a\0b",
        "/a\\b",
        "/\ud800",
        "/" + "é" * 128,
        "/x" * (DEPTH_MAX + 1),
    ],
)
def test_what_is_no_path_on_a_volume_is_refused(path: str) -> None:
    with pytest.raises(BadName):
        parts(path)


def test_case_is_one_letter_for_one() -> None:
    assert folded("Ärger.VHD") == folded("äRGER.vhd")
    assert folded("ß") != folded("ss")
