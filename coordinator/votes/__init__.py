"""Votes: who has how many, what they decide, and the witness among them."""
