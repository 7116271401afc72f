"""Arrays as bytes that can be told from damaged ones.

SQLite does not check what it reads, and a flipped bit in a state would be a wrong forecast that
nobody notices: so a checksum goes before the bytes.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forecaster.errors import StoreDamagedError

Structured = NDArray[np.void]

_CHECKSUM_BYTES = 4


def seal(array: Structured) -> bytes:
    """Return the bytes of an array behind their CRC-32."""
    content = array.tobytes()
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little") + content


def unseal(blob: bytes, dtype: np.dtype[np.void], what: str) -> Structured:
    """Return the array that was sealed; it cannot be written to.

    Args:
        blob: What `seal` returned.
        dtype: Of the array.
        what: What it is, for the message.

    Raises:
        StoreDamagedError: If it is not what was sealed.
    """
    content = memoryview(blob)[_CHECKSUM_BYTES:]
    expected = int.from_bytes(blob[:_CHECKSUM_BYTES], "little")
    found = zlib.crc32(content)
    if found != expected or len(content) % dtype.itemsize:
        raise StoreDamagedError(
            f"{what}: expected checksum {expected:08x}, found {found:08x}: the file is damaged; "
            "put back a copy of it, or move it away to begin with an empty store"
        )
    return np.frombuffer(content, dtype)


def unseal_each(blobs: Sequence[bytes], dtype: np.dtype[np.void], what: str) -> Structured:
    """Return as one array the single elements that were sealed; see `unseal`."""
    for blob in blobs:
        if len(blob) != _CHECKSUM_BYTES + dtype.itemsize or zlib.crc32(
            memoryview(blob)[_CHECKSUM_BYTES:]
        ) != int.from_bytes(blob[:_CHECKSUM_BYTES], "little"):
            unseal(blob, dtype, what)
    sealed = np.dtype([("checksum", "<u4"), ("content", dtype)])
    return np.frombuffer(b"".join(blobs), sealed)["content"]
