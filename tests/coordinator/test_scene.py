"""What follows from the rows and the agents of one moment, and how rows become it."""

from coordinator.scene import Scene
from coordinator.store.book import PREFIXES, Book
from coordinator.store.rows import AttemptRow
from protocol.names import NodeState
from tests.coordinator.ground import TIMING, config
from tests.coordinator.stage import SQL, A, B, C, Stage, life

# ---- the book


def test_the_book_holds_what_was_learned_last_and_its_revision() -> None:
    stage = Stage()
    book = stage.scene.book
    row = stage.vm()
    newest = book.revision("vm/sql01")

    assert (book.vms[SQL], newest > 0) == (row, True)
    stage.put("vm/sql01", None)
    assert (SQL in book.vms, book.revision("vm/sql01")) == (False, 0)


def test_an_attempt_is_unclosed_until_it_has_ended() -> None:
    stage = Stage()
    book = stage.scene.book
    states: list[AttemptRow] = [
        stage.attempt(),
        stage.aborted(),
        stage.aborted(ended_at=1.0),
    ]
    assert states[-1].closed
    assert (list(book.attempts), list(book.unclosed)) == ([1], [])
    stage.attempt(2)
    assert list(book.unclosed) == [2]
    stage.put("attempt/000000002", None)
    assert (list(book.attempts), list(book.unclosed)) == ([1], [])


def test_every_row_that_a_plan_writes_is_read_again_by_the_next_leader() -> None:
    stage = Stage()
    stage.vm()
    stage.attempt()
    stage.put("deleted/web01", {"name": "web01", "epoch": 4})
    stage.put("counter", {"events": 3, "attempts": 1})

    for key in stage.scene.book.revisions:
        assert key.startswith(PREFIXES), key
    other = Book()
    other.learn("event/000000000001", 9, {"id": 1135})
    other.learn("term", 9, {"term": 3})
    assert other.revisions == {}, "nothing is planned from these"
    assert other.timing == TIMING, "the usual one, without a cluster"


# ---- nodes


def test_a_node_is_up_while_its_life_is_in_the_held_view_and_anybody_hears_it() -> None:
    stage = Stage()
    assert stage.scene.node_state(A) is NodeState.UP
    stage.cut("a")
    assert stage.scene.node_state(A) is NodeState.UP, "the others hear it"
    stage.connect("a")
    stage.die("a")
    assert stage.scene.node_state(A) is NodeState.DOWN


def test_a_node_is_joining_until_a_view_with_it_holds() -> None:
    stage = Stage()
    held = stage.view("b", "c")
    stage.view("a", "b", "c", number=2, held=held)
    assert stage.scene.node_state(A) is NodeState.JOINING
    stage.agent("a").welcomed = False
    assert stage.scene.node_state(A) is NodeState.DOWN


def test_a_pause_shows_only_on_a_node_that_is_up() -> None:
    stage = Stage()
    stage.node("a", paused=True)
    assert stage.scene.node_state(A) is NodeState.PAUSED
    stage.die("a")
    assert stage.scene.node_state(A) is NodeState.DOWN


def test_a_life_may_own_vms_in_the_held_view_and_only_if_it_stays() -> None:
    stage = Stage()
    assert stage.scene.may_own(A, life("a"))
    assert not stage.scene.may_own(A, life("a", 2))

    held = stage.scene.held
    stage.view("b", "c", number=2, held=held)
    assert stage.scene.in_held_view(A, life("a"))
    assert not stage.scene.may_own(A, life("a"))
    assert not stage.scene.in_held_view(None, None)
    assert not Scene(config(), 0.0).in_held_view(A, life("a"))


def test_a_node_is_silent_a_lease_after_it_was_heard_last_and_never_sooner_than_led() -> None:
    stage = Stage()
    scene, agent = stage.scene, stage.agent("b")
    agent.heard_at = scene.now
    scene.now += TIMING.support_s
    assert not scene.silent(B)
    scene.now += 0.001
    assert scene.silent(B)
    scene.led_at = scene.now
    assert not scene.silent(B), "a new leader gives everybody a lease"
    stage.cut("c")
    assert scene.silent(C)
