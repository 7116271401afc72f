"""Arrays as bytes that can be told from damaged ones.

SQLite does not check what it reads, and a flipped bit in a state would be a wrong forecast that
nobody notices: so a checksum goes before the bytes.
"""

import zlib
from collections.abc import Callable, Sequence

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
    if not _is_whole(blob) or (len(blob) - _CHECKSUM_BYTES) % dtype.itemsize:
        raise _damaged(blob, what)
    return np.frombuffer(memoryview(blob)[_CHECKSUM_BYTES:], dtype)


def unseal_each(
    blobs: Sequence[bytes], dtype: np.dtype[np.void], what: Callable[[int], str]
) -> Structured:
    """Return as one array the single elements that were sealed.

    Args:
        blobs: What `seal` returned, at least one.
        dtype: Of an element.
        what: Says what one of them is, by its place.

    Raises:
        StoreDamagedError: If one is not what was sealed.
    """
    for at, blob in enumerate(blobs):
        if not _is_whole(blob) or len(blob) != _CHECKSUM_BYTES + dtype.itemsize:
            raise _damaged(blob, what(at))
    sealed = np.dtype([("checksum", "<u4"), ("content", dtype)])
    return np.frombuffer(b"".join(blobs), sealed)["content"]


def _is_whole(blob: object) -> bool:
    """Say whether it is bytes behind their checksum; damage may make it a text or a number."""
    if not isinstance(blob, bytes):
        return False
    expected = int.from_bytes(blob[:_CHECKSUM_BYTES], "little")
    return zlib.crc32(memoryview(blob)[_CHECKSUM_BYTES:]) == expected


def _damaged(blob: object, what: str) -> StoreDamagedError:
    expected, found = "of bytes", f"a {type(blob).__name__}"
    if isinstance(blob, bytes):
        expected = blob[:_CHECKSUM_BYTES][::-1].hex()
        found = f"{zlib.crc32(blob[_CHECKSUM_BYTES:]):08x} of {len(blob)} bytes"
    return StoreDamagedError(
        f"{what}: expected checksum {expected}, found {found}: the file is damaged; "
        "put back a copy of it, or move it away to begin with an empty store"
    )
