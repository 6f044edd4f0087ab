"""What every place for copies of the database must do. A port's tests inherit from this and give
`copies`, which makes one more way to the same place each time it is called.
"""

from collections.abc import Callable

import pytest

from agent.copy_record import CopyName, CopyPort, DatabaseCopy
from protocol.names import ClusterId, Term
from protocol.parts import CONTENT_BYTES_MAX

Ways = Callable[[], CopyPort]


def copy_of(term: int, revision: int, content: bytes = b"rows") -> DatabaseCopy:
    return DatabaseCopy(CopyName(ClusterId("c"), Term(term), revision), content)


class CopyPortContract:
    """The newest copy stays, whoever writes when."""

    def test_a_new_place_has_none(self, copies: Ways) -> None:
        assert copies().newest() is None

    @pytest.mark.parametrize("size", [0, 1, CONTENT_BYTES_MAX])
    def test_what_was_kept_is_read_by_everybody(self, copies: Ways, size: int) -> None:
        copies().keep(copy_of(2, 3, b"x" * size))

        assert copies().newest() == copy_of(2, 3, b"x" * size)

    @pytest.mark.parametrize(("term", "revision"), [(5, 8), (6, 1), (2**53, 2**63 - 1)])
    def test_a_newer_one_takes_its_place(self, copies: Ways, term: int, revision: int) -> None:
        copies().keep(copy_of(5, 7))
        copies().keep(copy_of(term, revision))

        assert copies().newest() == copy_of(term, revision)

    @pytest.mark.parametrize(("term", "revision"), [(5, 6), (4, 99), (5, 7)])
    def test_a_stale_one_never_does(self, copies: Ways, term: int, revision: int) -> None:
        copies().keep(copy_of(5, 7))
        copies().keep(copy_of(term, revision, b"late"))

        assert copies().newest() == copy_of(5, 7)
