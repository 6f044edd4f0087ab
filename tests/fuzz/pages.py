"""From any bytes to what a lying source sends: a stream as it is, or batches nearly right."""

from agent.batches import Kind
from tests.fuzz.lies import bomb, header, hear_out

KINDS = (0, *Kind, 7)
BOMBS = tuple(bomb(size) for size in (4096, 16 * 4096, 17 * 4096, 1 << 24))


def batches_from(data: bytes) -> bytes:
    """A stream of batches that are nearly right: fuzzed bytes choose what is off in each."""
    said, round_no = b"", 0
    while len(data) >= 8:
        choice, data = data[:8], data[8:]
        kind = KINDS[choice[0] % len(KINDS)]
        runs = (1, 2, 3, 0)[choice[1] % 4] if choice[1] < 250 else choice[1] << 24
        start, count, twist = choice[2] % 18, choice[3] % 18, choice[4]
        payload = data[: choice[5] * 16]
        if kind == Kind.ZSTD and twist % 2:
            payload = BOMBS[twist // 2 % len(BOMBS)]
        elif kind == Kind.PAGES and twist % 2:
            payload = bytes(4096 * count * (runs % 4))
        else:
            data = data[len(payload) :]
        length = len(payload) if twist < 240 else twist << 22
        checksum = 0 if choice[6] < 200 else choice[6]
        said += header(kind, round_no, runs, length, checksum)
        said += b"".join((start + 5 * n).to_bytes(4, "little") for n in range(runs % 4))
        said += count.to_bytes(4, "little") * (runs % 4) + payload
        round_no += kind == Kind.END and choice[7] < 250
    return said


def try_one(data: bytes) -> None:
    """One input: its first bit says whether the rest is the stream or makes one."""
    if data:
        hear_out(data[1:] if data[0] & 1 else batches_from(data[1:]))
