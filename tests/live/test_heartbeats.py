"""Heartbeats under migrations, the short way; `make bench` measures for a minute, with 8 GiB."""

from pathlib import Path

from lab.bench.heartbeats import CONTROL, Load, beats_under

SHORT = Load(5.0, (512 << 20,), share=0.99)


def silent(words: str) -> None:
    """Nobody listens to the progress of a test."""


async def test_heartbeats_do_not_suffer_from_migrations(tmp_path: Path) -> None:
    beats = await beats_under(SHORT, tmp_path, silent)
    assert beats.migrations > 0
    assert beats.suffer is None, beats


async def test_with_pages_sent_on_the_event_loop_the_same_check_fails(tmp_path: Path) -> None:
    beats = await beats_under(SHORT, tmp_path, silent, CONTROL)
    assert beats.suffer is not None, beats
