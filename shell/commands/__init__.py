"""A module for each family of commands; each makes typer commands out of coroutines that see a
`Session` and nothing else of the world.
"""
