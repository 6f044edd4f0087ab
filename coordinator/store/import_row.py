"""The row that says that a database is being put back: until it has gone, nobody leads by what the
store has.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

IMPORT = "cluster-import"
"""Read with the row `cluster`, so nobody who looks for a cluster overlooks it."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """The rows of the copy of `term` and `revision` are being written; some are the store's yet."""

    term: int
    revision: int

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(data: Mapping[str, Any]) -> "ImportRow":
        return ImportRow(data["term"], data["revision"])
