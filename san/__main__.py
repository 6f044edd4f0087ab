"""The shared disks: `python -m san --state-dir DIR --portal ADDR:PORT --lun NAME=SIZE ...`."""

import argparse
import logging
import os
import re
import sys
from pathlib import Path

import structlog

from protocol.errors import ClusterError
from protocol.workload import parse_size
from san.config import TARGET_NAME

EXAMPLES = """examples:
  python -m san --state-dir /tmp/san --portal 127.0.0.1:3260 --lun data=1GiB
  python -m san --state-dir /tmp/san --portal 127.20.1.200:0 --portal 127.20.2.200:0 \\
      --lun witness=512MiB --lun data=8GiB --chap-file /tmp/chap.json

The file of CHAP is JSON of mode 0600: {"name": ..., "secret": ...}, for mutual CHAP also
"mutual_name" and "mutual_secret". LUNs are numbered from 0 in the order of the options.
"""
BLOCK_BYTES = 512


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m san",
        description="Serve disks to a cluster as an iSCSI target.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", default="san", help="name of this program in logs")
    parser.add_argument("--state-dir", required=True, type=Path, help="its own folder")
    parser.add_argument("--target", default=TARGET_NAME, help=f"iSCSI name ({TARGET_NAME})")
    parser.add_argument(
        "--portal", action="append", required=True, metavar="ADDR:PORT", help="port 0: any"
    )
    parser.add_argument(
        "--lun", action="append", required=True, metavar="NAME=SIZE", help="one for each disk"
    )
    parser.add_argument("--chap-file", type=Path, help="who may log in; without it, anybody")
    parser.add_argument("--ready-fd", type=int, help="where to say that it is ready")
    chosen = parser.parse_args()
    try:
        chosen.portals = [_portal(text) for text in chosen.portal]
        luns = [_lun(text) for text in chosen.lun]
        chosen.luns = dict(luns)
        if len(chosen.luns) < len(luns):
            raise ValueError("two LUNs have the same name: each needs its own")
    except (ValueError, ClusterError) as error:
        parser.error(str(error))
    return chosen


def _portal(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} is no portal: ADDR:PORT is, with a port up to 65535")
    return host.strip("[]"), int(port)


def _lun(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})[=:](.+)", text)
    if found is None:
        raise ValueError(f"{text!r} is no LUN: NAME=SIZE is, such as data=1GiB")
    size_bytes = int(found[2]) if found[2].isdigit() else parse_size(found[2])
    if size_bytes < BLOCK_BYTES or size_bytes % BLOCK_BYTES:
        raise ValueError(f"{text!r}: a LUN has whole blocks of {BLOCK_BYTES} bytes, at least one")
    return found[1], size_bytes


def main() -> int:
    chosen = options()
    structlog.configure(
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    os.umask(0o077)
    # Read by numpy when it is imported: nothing is multiplied here, and idle threads cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from san.io.program import run

    try:
        run(chosen)
    except (ClusterError, ValueError) as error:
        sys.stderr.write(f"san {chosen.name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
