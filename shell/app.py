"""All commands of the shell in one program."""

import typer

from shell.commands import (
    cluster,
    csv,
    disk,
    estimate,
    events,
    groups,
    migrate,
    networks,
    node,
    nodes,
    quorum,
    resources,
    status,
    vm,
)

FAMILIES = (
    *(status, vm, migrate, estimate, node, nodes),
    *(quorum, cluster, groups, resources, networks, disk, csv, events),
)


def build() -> typer.Typer:
    """A program with the shell's commands; a lab adds its own."""
    app = typer.Typer(
        name="hvlab",
        help="A failover cluster with live migration to run, break and measure.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="Exit codes: 0 done, 1 failed or refused, 2 the words of the call are off, "
        "3 no lab or no API, 4 inconclusive.",
    )
    for family in FAMILIES:
        family.add_to(app)
    return app
