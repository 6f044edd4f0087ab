"""What `make bench` measures: ratios of A and B in turns, never a time by itself."""

import enum


class Part(enum.Enum):
    """What can be measured."""

    PAGE_PATH = "page-path"
    MIGRATIONS = "migrations"
    HEARTBEATS = "heartbeats"
