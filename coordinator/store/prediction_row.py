"""What was foretold of an attempt, as its row keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from protocol.messages import Figure, Forecast, Spread, WayAhead, Window, WritesForecast

Data = Mapping[str, Any]

FIGURES = ("rounds", "wire_bytes", "total_s", "blackout_s")


@dataclass(frozen=True, slots=True)
class Prediction:
    """The forecast by the attempt's own policy, and what it was made of."""

    forecast: Forecast
    way: WayAhead
    windows: tuple[Window, ...]
    zero_share: float
    packed_share: float

    @classmethod
    def of(cls, told: WritesForecast, way: WayAhead) -> "Prediction | None":
        """None where nothing was seen, or the policy broke."""
        if not told.forecasts:
            return None
        return cls(told.forecasts[0], way, told.windows, told.zero_share, told.packed_share)

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(data: Data | None) -> "Prediction | None":
        if data is None:
            return None
        told, way = data["forecast"], data["way"]
        figures = {name: Figure(**told[name]) for name in FIGURES}
        spreads = {name: Spread(**value) for name, value in way.items() if name != "basis"}
        return Prediction(
            Forecast(**{**told, **figures}),
            WayAhead(**spreads, basis=way["basis"]),
            tuple(Window(one["seconds"], Spread(**one["pages"])) for one in data["windows"]),
            data["zero_share"],
            data["packed_share"],
        )
