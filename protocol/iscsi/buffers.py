"""Memory for data on their way, without the zeros that nobody will see."""

import numpy

ZEROED_BYTES_MAX = 32 << 10


def fresh(size_bytes: int) -> memoryview:
    """Writable, and of no content: whoever asks for it fills all of it before it is read."""
    if size_bytes <= ZEROED_BYTES_MAX:
        return memoryview(bytearray(size_bytes))
    return numpy.empty(size_bytes, numpy.uint8).data
