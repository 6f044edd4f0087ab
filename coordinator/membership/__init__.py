"""Nodes: their agents, the views that they belong to, and how they come and go."""
