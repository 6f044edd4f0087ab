"""Rules broken on purpose: each mutant turns its story red, and the story is green without it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from lab.simulation.ballots import Violation
from lab.simulation.cluster import SimCluster
from tests import drills, mutants, vote_drills

Drill = Callable[[], SimCluster]
Mutant = Callable[[], AbstractContextManager[None]]

PAIRS: list[tuple[Mutant, Drill]] = [
    (mutants.drop_a_dirty_page, drills.migration),
    (mutants.copy_before_protecting, drills.migration),
    (mutants.resume_the_source_after_the_commit, drills.migration),
    (mutants.keep_the_throttle, drills.slowed_and_cancelled),
    (mutants.skip_the_epoch_check, drills.stale_start),
    (mutants.count_the_lease_from_the_answer, drills.late_answers),
    (mutants.let_a_worker_outlive_its_lease, drills.owner_cut_off),
    (mutants.let_a_restarted_peer_support_at_once, drills.promiser_restarts),
    (mutants.take_a_lost_state_for_a_first_life, drills.promiser_loses_its_state),
    (mutants.acknowledge_a_view_before_promises_ran_out, drills.promiser_loses_the_route),
    (mutants.abort_by_a_read, drills.commit_gets_lost),
    (mutants.skip_the_term_guard, drills.old_leader_wakes),
    (mutants.commit_without_comparing_the_view, drills.target_leaves_while_the_consent_travels),
    (mutants.admit_two_migrations, drills.two_migrations_of_one_node),
    (mutants.tell_of_a_death_after_the_end, drills.restarted_while_it_is_buried),
    (mutants.leave_a_fork_to_itself, drills.stopped_while_it_is_forked),
    (mutants.decide_on_after_changed_votes, drills.two_nodes_join_and_a_promiser_dies),
    (mutants.take_a_witness_at_once, vote_drills.holder_on_the_other_side),
    (mutants.forget_what_the_witness_remembers, vote_drills.holder_of_an_older_view),
    (mutants.count_the_witness_twice, vote_drills.holder_alone_with_the_coordinator),
    (mutants.ask_the_new_votes_only, vote_drills.votes_change_before_few),
    (mutants.forget_longer_promises, drills.clocks_are_turned_down),
    (mutants.keep_guests_without_quorum_for_good, vote_drills.grace_time_is_over),
]


@pytest.mark.parametrize(("mutant", "drill"), PAIRS, ids=lambda call: call.__name__)
def test_a_broken_rule_is_caught(mutant: Mutant, drill: Drill) -> None:
    with mutant(), pytest.raises(Violation):
        drill()


@pytest.mark.parametrize(
    "drill", dict.fromkeys(drill for _, drill in PAIRS), ids=lambda call: call.__name__
)
def test_the_same_story_is_green_without_a_mutant(drill: Drill) -> None:
    assert drill().checker.complaints() == []
