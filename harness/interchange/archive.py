"""Zip archives of unknown origin: nothing is unpacked to the disk, and no member beyond a bound."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.data import refuse_lfs_pointer
from harness.interchange.untrusted_files import read_at_most
from harness.row_bounds import most_unpacked
from harness.types import SkilldeltaError

MAX_MEMBER = 1 << 28  # bytes of one member, unpacked
ZSTANDARD = 93  # a method of compression that zipfile knows only from Python 3.14 on
HEADER = struct.Struct("<4s22xHH")  # of a member: its signature, the lengths of its name and of its extra field


class Archive:
    """The members of a zip file by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_lfs_pointer(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise SkilldeltaError(f"{path} is not a zip archive ({error}): is the file whole?") from error
        self.bytes_left = most_unpacked(path.stat().st_size)  # over all members that are read

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def names(self, start: str = "") -> Iterator[str]:
        return (name for name in self.zip.namelist() if name.startswith(start) and not name.endswith("/"))

    def read(self, name: str) -> bytes:
        """A member's content."""
        where = f"{self.path}: {name}"
        try:
            about = self.zip.getinfo(name)
            most = min(MAX_MEMBER, self.bytes_left)
            if about.compress_type == ZSTANDARD:
                content = unpack_zstandard(self.packed_bytes(about), most, where)
            else:
                with self.zip.open(about) as stream:
                    content = read_at_most(stream, most, where)
        except KeyError as error:
            raise SkilldeltaError(f"{self.path} has no {name}: it was not finished, or is no log.") from error
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error) as error:
            raise SkilldeltaError(f"{where} cannot be unpacked ({error}): is the file whole?") from error
        if zlib.crc32(content) != about.CRC:
            raise SkilldeltaError(f"{where} is damaged: its checksum is not the one that was stored.")
        self.bytes_left -= len(content)
        return content

    def packed_bytes(self, about: zipfile.ZipInfo) -> bytes:
        """The packed bytes of a member (PKWARE's APPNOTE 4.3.7)."""
        stream = self.zip.fp
        assert stream is not None
        stream.seek(about.header_offset)
        signature, name, extra = HEADER.unpack(stream.read(HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no member where one was announced")
        stream.seek(name + extra, io.SEEK_CUR)
        return stream.read(about.compress_size)


def unpack_zstandard(content: bytes, most: int, where: str) -> bytes:
    """What Zstandard packed, through Arrow's decoder."""
    import pyarrow

    with pyarrow.CompressedInputStream(pyarrow.BufferReader(content), "zstd") as stream:
        return read_at_most(stream, most, where)
