"""What a node may conclude from the target's answers about its key."""

import pytest

from agent.disks.registration import Enrolment, Registration, Step
from agent.disks.tasks import Verdict

KEY, NEXT = 0xAA01, 0xAA02


class Disk:
    """What a target knows, for the questions of an enrolment."""

    def __init__(self, fenced_at: Step | None = None) -> None:
        self.keys: dict[str, int] = {}
        self.fenced_at = fenced_at
        """The question before which all keys but the new one are taken away, once."""

    def enrol(self, registration: Registration, path: int, nexus: str) -> Enrolment:
        enrolment = Enrolment(registration, path)
        while not enrolment.is_over:
            if enrolment.step is self.fenced_at:
                self.keys = {n: key for n, key in self.keys.items() if key == enrolment.key}
                self.fenced_at = None
            match enrolment.step:
                case Step.COLLECT:
                    enrolment.ended(Verdict.FINE)
                case Step.READ_KEYS:
                    enrolment.ended(Verdict.FINE, tuple(self.keys.values()))
                case _:
                    fits = self.keys.get(nexus, 0) == enrolment.replaced_key
                    if fits:
                        self.keys[nexus] = enrolment.key
                    enrolment.ended(Verdict.FINE if fits else Verdict.PREEMPTED)
        return enrolment


def registered(disk: Disk) -> Registration:
    registration = Registration()
    assert registration.use(KEY)
    assert disk.enrol(registration, 0, "a").step is Step.DONE
    return registration


def test_each_path_is_registered_under_a_number_of_its_own() -> None:
    disk = Disk()
    registration = registered(disk)

    disk.enrol(registration, 1, "b")

    assert registration.numbers == {0: 1, 1: 2}
    assert disk.keys == {"a": KEY, "b": KEY}


def test_only_what_was_admitted_may_write() -> None:
    disk = Disk()
    registration = registered(disk)
    assert not registration.may_write(0)

    registration.admit(1)
    disk.enrol(registration, 1, "b")

    assert registration.may_write(0)
    assert not registration.may_write(1)


def test_a_rebuilt_session_that_the_target_knows_is_no_new_registration() -> None:
    disk = Disk()
    registration = registered(disk)

    disk.enrol(registration, 0, "a")

    assert registration.count == 1


def test_a_new_nexus_registers_anew_while_the_key_is_there() -> None:
    disk = Disk()
    registration = registered(disk)
    registration.admit(1)

    disk.enrol(registration, 0, "a after a restart")

    assert registration.numbers == {0: 2}
    assert not registration.may_write(0)


def test_a_key_that_is_gone_is_lost_for_good() -> None:
    disk = Disk()
    registration = registered(disk)
    registration.admit(1)
    disk.keys.clear()

    found = disk.enrol(registration, 0, "a")

    assert found.step is Step.LOST
    assert registration.lose(found.reason)
    assert not registration.may_write(0)
    assert not registration.use(NEXT)
    assert disk.keys == {}


def test_a_registration_whose_answer_was_lost_is_found() -> None:
    disk = Disk()
    disk.keys["a"] = KEY
    registration = Registration()
    registration.use(KEY)

    assert disk.enrol(registration, 0, "a").step is Step.DONE
    assert registration.count == 1


def test_a_key_that_was_let_go_is_replaced_and_never_used_again() -> None:
    disk = Disk()
    registration = registered(disk)

    registration.let_go()
    assert not registration.use(KEY)
    assert registration.use(NEXT)
    assert disk.enrol(registration, 0, "a").step is Step.DONE

    assert disk.keys == {"a": NEXT}
    assert registration.numbers == {0: 2}


@pytest.mark.parametrize("when", [*Step][:5])
def test_a_former_key_may_be_fenced_between_any_two_questions(when: Step) -> None:
    disk = Disk()
    registration = registered(disk)
    registration.let_go()
    registration.use(NEXT)
    disk.fenced_at = when

    assert disk.enrol(registration, 0, "a").step is Step.DONE
    assert disk.keys == {"a": NEXT}


def test_a_nexus_under_a_foreign_key_is_left_alone() -> None:
    disk = Disk()
    disk.keys["a"] = 0xBAD
    registration = Registration()
    registration.use(KEY)

    assert disk.enrol(registration, 0, "a").step is Step.LOST
    assert disk.keys == {"a": 0xBAD}


def test_a_key_that_is_given_up_while_it_is_registered_counts_for_nothing() -> None:
    registration = Registration()
    registration.use(KEY)
    enrolment = Enrolment(registration, 0)
    enrolment.ended(Verdict.FINE)
    enrolment.ended(Verdict.FINE, ())

    registration.let_go()
    enrolment.ended(Verdict.FINE)

    assert enrolment.step is Step.LOST
    assert registration.count == 0
