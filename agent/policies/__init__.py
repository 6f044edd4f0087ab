"""S7: how the rounds of a migration follow each other, and when and how they end.

A policy is asked after every round and answers with a decision that names its reason. It has no
memory, no clock and no side effects: what it may build upon is in `Seen`. So it can be replayed,
run in the simulation, and written in thirty lines.
"""

from agent.policies.asking import Failed, ask
from agent.policies.interface import Another, Decision, Policy, PostCopy, Seen, Stop
from agent.policies.shelf import BUILT_IN, DEFAULT_POLICY, Shelf

__all__ = (
    "BUILT_IN",
    "DEFAULT_POLICY",
    "Another",
    "Decision",
    "Failed",
    "Policy",
    "PostCopy",
    "Seen",
    "Shelf",
    "Stop",
    "ask",
)
