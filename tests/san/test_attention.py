"""Unit attentions wait until they are told, once."""

from protocol.scsi.sense import POWER_ON, REGISTRATIONS_PREEMPTED, RESERVATIONS_RELEASED
from san.attention import Attentions
from san.nexus import Nexus

A, B = Nexus("iqn.2026-11.lab:n1"), Nexus("iqn.2026-11.lab:n2")


def test_they_are_told_in_order_to_the_one_concerned() -> None:
    attentions = Attentions()
    attentions.add(A, REGISTRATIONS_PREEMPTED)
    attentions.add(A, RESERVATIONS_RELEASED)
    attentions.add(A, REGISTRATIONS_PREEMPTED)

    told = [attentions.take(A), attentions.take(A), attentions.take(A)]

    assert told == [REGISTRATIONS_PREEMPTED, RESERVATIONS_RELEASED, None]
    assert attentions.take(B) is None
    assert not attentions.is_waiting(A)


def test_a_reset_replaces_what_waited() -> None:
    attentions = Attentions()
    attentions.add(A, RESERVATIONS_RELEASED)

    attentions.arrived(A)

    assert attentions.take(A) == POWER_ON
    assert attentions.take(A) is None
