"""A program as the launcher knows it, without a cluster in it: `fake_program.py ROLE OPTIONS`.

What an agent does wrong is in its node's name: silent-1 is never ready, broken-1 ends at once,
stubborn-1 ignores SIGTERM, rude-1 says something else. Every agent has a child and a grandchild,
as agents have a warm parent and workers. SIGUSR1 makes a program print a line.
"""

import argparse
import json
import os
import signal
import sys


def start_family() -> None:
    """Fork a child that forks a grandchild; both only wait. Returns when both are there."""
    reader, writer = os.pipe()
    for generation in range(2):
        if os.fork():
            break
        if generation == 1:
            os.write(writer, b"!")
    else:
        generation = 2
    if generation == 0:
        os.read(reader, 1)
        return
    while True:
        signal.pause()


def main() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: print("still here", flush=True))
    parser = argparse.ArgumentParser()
    parser.add_argument("role")
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--node", default="coordinator")
    parser.add_argument("--listen", action="append", default=[])
    parser.add_argument("--api", default="")
    args, rest = parser.parse_known_args()
    print(f"{args.node} starts with {rest}", flush=True)

    word = "ready"
    match args.node.partition("-")[0]:
        case "broken":
            sys.exit("some noise\nUDP port 3343 is in use")
        case "silent":
            signal.pause()
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "rude":
            word = "hello"
    said: dict[str, object] = {"node": args.node, "pid": os.getpid(), "tracker": "software"}
    if args.role == "coordinator":
        control = [at.replace(":0", ":7001") for at in args.listen]
        api = "http://" + args.api.replace(":0", ":7002")
        said = {"pid": os.getpid(), "control": control, "api": api}
    else:
        start_family()
    os.write(args.ready_fd, f"{word} {json.dumps(said)}\n".encode())
    os.close(args.ready_fd)
    while True:
        signal.pause()


main()
