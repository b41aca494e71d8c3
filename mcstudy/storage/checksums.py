"""Parquet files under a checksum: every byte of one is held against a digest that stands in it.

A reader of Parquet finds the footer from the end of the file, and the pages by what the footer says
of their places. What stands between the last page and the footer is read by nobody, so the
checksum can stand there: a word, the SHA-256 of all before it, and the SHA-256 of the rest of the
file with the first two. The footer is verified by one read of the file's end, the pages where rows
are read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_WORD = b"mcstudy\x01"
_DIGEST_BYTES = hashlib.sha256().digest_size
_CHECKSUM_BYTES = len(_WORD) + 2 * _DIGEST_BYTES
_MAGIC = b"PAR1"
_ENDING = struct.Struct("<I4s")  # the footer's length and the magic word, by the Parquet format
_LOOK_BYTES = 2**15  # holds checksum and footer of most parts
_CHUNK_BYTES = 2**20
_FIELD = b"\x18"  # the next field of a struct, a string
_MORE = 0x80  # of each byte of a length but the last; the other bits are the number, lowest first


class ChecksumError(ValueError):
    """A file is not what was written."""


class NoChecksumError(ChecksumError):
    """There is no checksum: an older version has written the file, or something else."""

    def __init__(self, footer: bytes) -> None:
        super().__init__("no checksum in it")
        self.footer = footer


class _Tail(NamedTuple):
    """The end of a file: its footer, the digest of what stands before the checksum, its own."""

    footer: bytes
    before: bytes
    checksum: str
    place: int


def with_checksum(content: bytes) -> bytes:
    """Return the bytes of a Parquet file with its checksum."""
    length, _ = _ENDING.unpack(content[-_ENDING.size :])
    place = len(content) - _ENDING.size - length
    footer = content[place:]
    return content[:place] + _checksum_block(hashlib.sha256(content[:place]), footer) + footer


def add_checksum(path: Path) -> None:
    """Put the checksum into a Parquet file that has just been written."""
    with open(path, "rb+") as file:
        ending = file.seek(-_ENDING.size, os.SEEK_END)
        length, _ = _ENDING.unpack(file.read())
        place = file.seek(ending - length)
        footer = file.read()
        checksum = _checksum_block(_hashed(file, place), footer)
        file.seek(place)
        file.write(checksum + footer)


def read_footer(path: Path) -> bytes:
    """Return the footer of a file with a checksum; its pages are not looked at.

    Raises
    ------
    ChecksumError
        If the end of the file is not what was written.
    """
    with _opened(path) as file:
        return _tail(file).footer


def read_checksum(path: Path) -> str:
    """Return the checksum of a file, which stands for it; its pages are not looked at."""
    with _opened(path) as file:
        return _tail(file).checksum


def metadata_of(footer: bytes) -> Any:
    """Return the metadata that stands in a footer."""
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer))


def key_value(footer: bytes, key: bytes) -> bytes:
    """Return what stands under a key in a footer; raise KeyError if there is none.

    It is some ten times as fast as to read all metadata: a struct KeyValue of parquet.thrift is, by
    Thrift's compact protocol, its two strings, each behind a byte for the field and its length.
    """
    begun = _FIELD + bytes([len(key)]) + key + _FIELD
    place = footer.find(begun)
    if place < 0:
        return bytes((metadata_of(footer).metadata or {})[key])
    place += len(begun)
    length, shift, byte = 0, 0, _MORE
    while byte & _MORE:
        byte = footer[place]
        length |= (byte & ~_MORE) << shift
        place, shift = place + 1, shift + 7
    return footer[place : place + length]


def read_verified(path: Path) -> tuple[bytes, bytes]:
    """Return the bytes of a file with a checksum, and its footer.

    Raises
    ------
    ChecksumError
        If any byte is not what was written.
    """
    content = read_regular(path)
    return content, _verified(io.BytesIO(content)).footer


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file; raise OSError for what is no regular one."""
    with _opened(path) as file:
        return bytes(file.read())


def open_verified(path: Path) -> tuple[Any, str]:
    """Open a file of any size for reading; return it and its checksum, which stands for it.

    Raises
    ------
    ChecksumError
        If it is not what was written.
    """
    with _opened(path):
        file = pa.OSFile(str(path))
    try:
        checksum = _verified(file).checksum
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, checksum


def checksum_of(path: Path) -> str | None:
    """Return the checksum of a file, None where the file is not there or not what was written."""
    with suppress(OSError, ChecksumError):
        file, checksum = open_verified(path)
        file.close()
        return checksum
    return None


def _opened(path: Path) -> Any:
    """Open a regular file; anything else, which a read may wait for, is refused."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(number, "rb")


def _hashed(file: Any, count: int) -> Any:
    """Return the SHA-256 of the first so many bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while count and (chunk := file.read(min(count, _CHUNK_BYTES))):
        digest.update(chunk)
        count -= len(chunk)
    return digest


def _checksum_block(before: Any, footer: bytes) -> bytes:
    begun = _WORD + before.digest()
    return bytes(begun + hashlib.sha256(begun + footer).digest())


def _verified(file: Any) -> _Tail:
    """Return the end of a file, all of it verified."""
    tail = _tail(file)
    if _hashed(file, tail.place).digest() != tail.before:
        raise ChecksumError("its checksum is another one")
    return tail


def _tail(file: Any) -> _Tail:
    """Return the end of a file, itself verified."""
    size = file.seek(0, os.SEEK_END)
    if size < _CHECKSUM_BYTES + _ENDING.size:
        raise ChecksumError("too short")
    file.seek(-min(size, _LOOK_BYTES), os.SEEK_END)
    end = file.read()
    length, magic = _ENDING.unpack(end[-_ENDING.size :])
    count = _CHECKSUM_BYTES + length + _ENDING.size
    if magic != _MAGIC or count > size:
        raise ChecksumError("no Parquet file")
    if count > len(end):
        file.seek(-count, os.SEEK_END)
        end = file.read()
    checksum, footer = end[-count:][:_CHECKSUM_BYTES], end[-count:][_CHECKSUM_BYTES:]
    begun, own = checksum[:-_DIGEST_BYTES], checksum[-_DIGEST_BYTES:]
    if not begun.startswith(_WORD):
        raise NoChecksumError(footer)
    if hashlib.sha256(begun + footer).digest() != own:
        raise ChecksumError("its checksum is another one")
    return _Tail(footer, begun[len(_WORD) :], own.hex(), size - count)
