"""`python -m shell`: the commands that need nothing but the API of a cluster, wherever it is."""

from shell.app import build
from shell.errors import ShellError
from shell.io.desk import LiveDesk, main

if __name__ == "__main__":
    main(build(), LiveDesk(), (ShellError,))
