import pytest

from shell.errors import BadWords
from shell.settings import settings


def test_numbers_are_numbers_and_all_else_is_text() -> None:
    assert settings(["A=5", "B=-1", "C=five", "D=", "E=a=b", "F=0x5"]) == {
        **{"A": 5, "B": -1, "C": "five", "D": "", "E": "a=b", "F": "0x5"},
    }


def test_a_description_is_a_text_even_if_it_looks_like_a_number() -> None:
    assert settings(["Description=7", "Name=2026"]) == {"Description": "7", "Name": "2026"}


def test_names_are_separated_by_commas_and_a_list_may_be_empty() -> None:
    words = ["PreferredOwners=node1, node2,", "PossibleOwners=", "Threshold=1"]

    assert settings(words, ("preferredowners", "PossibleOwners")) == {
        "PreferredOwners": ["node1", "node2"],
        "PossibleOwners": [],
        "Threshold": 1,
    }


@pytest.mark.parametrize("word", ["SameSubnetDelay", "=5", ""])
def test_what_sets_nothing_is_refused(word: str) -> None:
    with pytest.raises(BadWords, match="write NAME=VALUE"):
        settings(["A=1", word])


def test_one_name_is_set_once() -> None:
    with pytest.raises(BadWords, match="twice"):
        settings(["SameSubnetDelay=500", "samesubnetdelay=600"])
