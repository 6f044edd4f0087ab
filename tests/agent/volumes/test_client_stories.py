"""Random stories in which no write that was acknowledged is ever lost."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.volumes import ways
from tests.agent.volumes.client_story import FILE, Story, place, usable


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_no_acknowledged_write_is_lost_whatever_happens_to_paths_and_owners(seed: int) -> None:
    story = Story(random.Random(seed))
    story.feed(ways.Placed(place(1)))
    story.feed(FILE)
    story.feed(usable(1))
    story.relink()

    for _ in range(300):
        story.step()
        story.check()

    story.end_well()
