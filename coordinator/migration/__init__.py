"""Live migrations: whether, how, and what is left of them."""
