"""What `make bench` measures: A beside B in turns, or beside what the design allows; never a figure
by itself.
"""

import enum


class Part(enum.Enum):
    """What can be measured."""

    PAGE_PATH = "page-path"
    CODECS = "codecs"
    MIGRATIONS = "migrations"
    HEARTBEATS = "heartbeats"
    FAILOVER = "failover"
    SCALE = "scale"
    INITIATORS = "initiators"
    TARGETS = "targets"
    STORAGE = "storage"
    REDIRECTED = "redirected"
    GOALS = "goals"
