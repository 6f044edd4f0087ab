"""Which path is used, which is tried, and when an old session is surely dead."""

from agent.disks.paths import BACKOFF_MAX_S, Connecting, Paths, Up


def up(count: int, group: int = 1) -> Paths:
    paths = Paths.of(count)
    for path in range(count):
        paths.try_now(path)
        paths.came_up(path, group)
    return paths


def fail(paths: Paths, path: int, now: float) -> None:
    paths.try_now(path)
    paths.lost(path, "refused", now)


def test_all_paths_are_due_at_the_start_and_none_while_it_is_tried() -> None:
    paths = Paths.of(2)
    assert paths.due(0.0) == [0, 1]

    paths.try_now(0)

    assert paths.due(0.0) == [1]
    assert paths.states[0] == Connecting(1)


def test_tries_come_more_and_more_seldom_up_to_a_limit() -> None:
    paths = Paths.of(1)
    now = 0.0
    waits = []
    for _ in range(12):
        fail(paths, 0, now)
        at = paths.next_at()
        assert at is not None
        waits.append(at - now)
        now = at

    assert waits == sorted(waits)
    assert waits[0] < waits[3]
    assert abs(waits[-1] - BACKOFF_MAX_S) < 1e-9


def test_reads_go_in_turns_and_writes_over_one_path() -> None:
    paths = up(3)

    assert {paths.for_read((0, 1, 2)) for _ in range(3)} == {0, 1, 2}
    assert {paths.for_write((1, 2)) for _ in range(3)} == {1}


def test_what_is_down_or_does_not_fit_is_not_used() -> None:
    paths = up(2)
    paths.lost(0, "cut", 1.0)

    assert paths.for_read((0,)) is None
    assert paths.for_write((0, 1)) == 1
    assert paths.for_write(()) is None
    assert paths.reasons == {0: "cut"}


def test_a_broken_path_is_unsettled_until_its_next_login() -> None:
    paths = up(2)

    paths.lost(0, "cut", 1.0, unanswered=True)
    assert paths.unsettled == {0}
    paths.try_now(0)
    paths.came_up(0, 1)

    assert not paths.unsettled
    assert paths.states[0] == Up(1)


def test_a_path_that_stays_away_is_settled_through_another_of_its_group() -> None:
    paths = up(2)
    paths.lost(0, "cut", 1.0, unanswered=True)
    assert paths.settling() is None  # it is tried first

    fail(paths, 0, 1.1)

    assert paths.settling() == (0, 1)
    paths.settled(0)
    assert paths.settling() is None


def test_a_portal_of_another_group_cannot_settle_it() -> None:
    paths = Paths.of(2)
    for path in range(2):
        paths.try_now(path)
        paths.came_up(path, path + 1)
    paths.lost(0, "cut", 1.0, unanswered=True)

    fail(paths, 0, 1.1)

    assert paths.settling() is None
