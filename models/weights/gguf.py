"""The layout of a GGUF file, checked before llama.cpp sees it: a damaged one may take the process down."""

import math
import mmap
import struct
from pathlib import Path

from ..errors import WeightsError

_MAX_TENSORS = 100_000
_MAX_PAIRS = 10_000
_MAX_STRINGS = 8_000_000
"""Strings that a header may hold: ten times the largest vocabulary with its merges, a second to walk over."""
_MAX_NAME = 63
_MAX_KEY = 65_535
_MAX_SIDE = (1 << 63) - 1
_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a metadata value by its type."""
_UINT32, _STRING, _ARRAY = 4, 8, 9
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110)},
    **{22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8)},
    **{29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36)},
    **{41: (128, 18), 42: (64, 18)},
}
"""Elements and bytes of a block by tensor type, as ggml has them (compared with it in the tests)."""


def check_gguf(path: Path) -> None:
    """Make sure that `path` is a whole GGUF file of version 2 or 3 that llama.cpp can be given.

    Reads the header alone (0.1 s for a vocabulary of 150,000): every length is checked against the file
    before it is followed, and the last byte of every tensor must lie within the file. What the tensors
    hold is not looked at; a hash does that.

    Raises:
        WeightsError: it cannot be read, is not GGUF, is damaged, or is truncated.
    """
    try:
        _demand(path.is_file(), "it is not a file")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check_layout(_Header(data))
    except (OSError, ValueError, struct.error) as error:
        msg = f"{path} cannot be used as a model: {error}. Fetch it again, or give another GGUF file"
        raise WeightsError(msg) from error


class _Header:
    """Reads on through a GGUF file and never past its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.end, self.strings = data, 0, len(data), 0

    def skip(self, size: int) -> int:
        """Step over `size` bytes; returns where they start."""
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            msg = f"it is truncated: its header goes on after its {self.end:,} bytes"
            raise ValueError(msg)
        return start

    def number(self, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        start = self.skip(size)
        return int.from_bytes(self.data[start : self.at], "little")

    def string(self, limit: int) -> bytes:
        """A string of at most `limit` bytes."""
        size = self.number(8)
        _demand(size <= limit, f"a name in its header has {size:,} bytes")
        start = self.skip(size)
        return self.data[start : self.at]

    def skip_strings(self, count: int) -> None:
        """Step over strings of any length."""
        self.strings += count
        _demand(self.strings <= _MAX_STRINGS, f"its header claims to hold {self.strings:,} strings")
        read, data = struct.Struct("<Q").unpack_from, self.data
        for _ in range(count):
            start = self.skip(8)
            self.skip(read(data, start)[0])

    def skip_value(self, kind: int) -> None:
        """Step over a metadata value."""
        if kind == _STRING:
            return self.skip_strings(1)
        count = 1
        if kind == _ARRAY:
            kind, count = self.number(4), self.number(8)
            if kind == _STRING:
                return self.skip_strings(count)
        _demand(kind in _FIXED, f"its header holds a value of the unknown type {kind}")
        self.skip(_FIXED[kind] * count)
        return None


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _check_layout(head: _Header) -> None:
    _demand(head.end >= 24, f"it has {head.end} bytes, too few for a GGUF file")
    _demand(head.number(4) == 0x46554747, "it does not start with 'GGUF'")
    version = head.number(4)
    _demand(version in (2, 3), f"its GGUF version is {version}, not 2 or 3")
    tensors, pairs = head.number(8), head.number(8)
    _demand(1 <= tensors <= _MAX_TENSORS, f"it claims to hold {tensors:,} tensors")
    _demand(1 <= pairs <= _MAX_PAIRS, f"it claims to hold {pairs:,} metadata values")
    alignment = _check_metadata(head, pairs)
    needed = _check_tensors(head, tensors, alignment)
    needed += _aligned(head.at, alignment)
    _demand(needed <= head.end, f"it is truncated: it has {head.end:,} of {needed:,} bytes")


def _check_metadata(head: _Header, pairs: int) -> int:
    """Walk over the metadata; returns the alignment of the tensors in bytes."""
    alignment, keys = 32, set()
    for _ in range(pairs):
        key, kind = head.string(_MAX_KEY), head.number(4)
        _demand(key not in keys, f"its header holds {key[:60]!r} twice")
        keys.add(key)
        if key == b"general.alignment":
            # llama.cpp aborts the process over another type here.
            _demand(kind == _UINT32, "its alignment is not a number")
            alignment = head.number(4)
            _demand(alignment.bit_count() == 1, f"its alignment is {alignment}, not a power of two")
            continue
        _demand(key != b"general.architecture" or kind == _STRING, "its architecture is not a text")
        head.skip_value(kind)
    _demand(b"general.architecture" in keys, "its header does not say which architecture it is")
    return alignment


def _check_tensors(head: _Header, tensors: int, alignment: int) -> int:
    """Walk over the descriptions of the tensors; returns where the data of the last one ends."""
    end, names = 0, set()
    for _ in range(tensors):
        name = head.string(_MAX_NAME)
        _demand(name not in names, f"it holds the tensor {name!r} twice")
        names.add(name)
        start = _aligned(end, alignment)
        size = _tensor_size(head, name)
        offset = head.number(8)
        _demand(offset == start, f"its tensor {name!r} is at {offset:,} instead of {start:,}")
        end = start + size
    return end


def _tensor_size(head: _Header, name: bytes) -> int:
    """The bytes of a tensor, by its sides and its type."""
    dimensions = head.number(4)
    _demand(1 <= dimensions <= 4, f"its tensor {name!r} has {dimensions} dimensions")
    sides = [head.number(8) for _ in range(dimensions)]
    kind = head.number(4)
    _demand(kind in _BLOCKS, f"its tensor {name!r} has the unknown type {kind}")
    elements, size = _BLOCKS[kind]
    count = math.prod(sides)
    _demand(0 < count <= _MAX_SIDE and sides[0] % elements == 0, f"its tensor {name!r} has the sides {sides}")
    return count // elements * size


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
