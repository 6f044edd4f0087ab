"""What `hvlab sim` shows, and what travels in a simulated lab."""

import io
from typing import Any, cast

import pytest
from rich.console import Console

from lab.simulation.chaos import CODED_EVERY, setting_of
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import FAULTS
from lab.simulation.seeds import Report, coverage_table
from protocol.errors import ProtocolError
from protocol.messages import TurnedAway
from protocol.names import Step


def test_the_table_of_coverage_fits_80_columns_with_whole_labels() -> None:
    coverage = {(step.value, fault): 1234 for step in Step for fault in FAULTS}
    text = io.StringIO()

    Console(file=text, width=80).print(coverage_table([Report(0, coverage=coverage)]))

    shown = text.getvalue()
    assert "…" not in shown
    assert all(f"\n{fault} " in shown for fault in FAULTS)
    assert all(step.name.lower().replace("_", " ") in shown for step in list(Step)[1:])
    assert shown.count(" 1k") == len(FAULTS) * (len(Step) - 1)


def test_in_every_tenth_lab_messages_become_bytes_on_their_way() -> None:
    coded = [seed for seed in range(40) if setting_of(seed).is_coded]

    assert len(coded) == 40 // CODED_EVERY


def test_what_cannot_become_bytes_does_not_travel_in_such_a_lab() -> None:
    cluster = SimCluster(1, Setting(is_coded=True))

    assert cluster.wire(TurnedAway("no")) == TurnedAway("no")
    with pytest.raises(ProtocolError):
        cluster.wire(cast(Any, Setting()))
