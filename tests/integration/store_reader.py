#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second reader of the image store, written from docs/store-format.md alone.

    store_reader.py REGION ROOT SIZE OUT    write the disk with this root name and size to OUT
    store_reader.py REGION                  prove every pack: prints packs and frames

Prints the disk digest. Uses no code of kiln and no lookup: it reads the packs' trailers.
"""
import ctypes
import ctypes.util
import hashlib
import os
import struct
import sys

CHUNK, FAN, NODE = 65536, 512, 16384
ZERO = bytes(32)
libzstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
libzstd.ZSTD_decompress.restype = ctypes.c_size_t


def sha(data):
    return hashlib.sha256(data).digest()


def unzstd(data, size):
    out = ctypes.create_string_buffer(size)
    n = libzstd.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    if n != size:
        raise ValueError("frame does not decode to %d bytes" % size)
    return out.raw


class Region:
    def __init__(self, path):
        self.frames = {}
        self.packs = 0
        with open(os.path.join(path, "format")) as f:
            if f.read() != "kiln-region 1\n":
                raise ValueError("unknown region format")
        for top, _, names in os.walk(os.path.join(path, "packs")):
            for name in names:
                self.add_pack(os.path.join(top, name))

    def add_pack(self, path):
        with open(path, "rb") as f:
            data = f.read()
        head, foot = data[:128], data[-64:]
        magic, version, flags, pack_id = struct.unpack_from("<8sII16s", head)
        if magic != b"KILNPACK" or version != 1 or flags != 0 or any(head[32:]):
            raise ValueError("%s: header" % path)
        if os.path.basename(path) != pack_id.hex() + ".pack":
            raise ValueError("%s: id" % path)
        if os.path.basename(os.path.dirname(path)) != pack_id.hex()[:2]:
            raise ValueError("%s: folder" % path)
        magic, version, count, start, zero, total = struct.unpack("<8sIIQQ32s", foot)
        entries = data[start:-64]
        if magic != b"KILNTRLR" or version != 1 or zero or count < 1 or len(entries) != 48 * count:
            raise ValueError("%s: footer" % path)
        if sha(head + sha(entries) + foot[:32]) != total:
            raise ValueError("%s: checksum" % path)
        at = 128
        for i in range(count):
            name, off, length, kind, enc, level, pad = struct.unpack_from("<32sQIBBBB", entries, 48 * i)
            if off != at or pad or kind > 1 or enc > 2 or (kind == 0 and (enc == 2 or level)):
                raise ValueError("%s: entry %d" % (path, i))
            at += length
            self.frames.setdefault((kind, level, name), (path, off, length, enc))
        if at != start:
            raise ValueError("%s: gap" % path)
        self.packs += 1

    def raw(self, key):
        path, off, length, enc = self.frames[key]
        with open(path, "rb") as f:
            f.seek(off)
            return f.read(length), enc

    def chunk(self, name):
        data, enc = self.raw((0, 0, name))
        data = unzstd(data, CHUNK) if enc == 1 else data
        if len(data) != CHUNK or sha(data) != name:
            raise ValueError("chunk %s" % name.hex())
        return data

    def node(self, name, level, left=7):
        data, enc = self.raw((1, level, name))
        if enc == 1:
            data = unzstd(data, NODE)
        elif enc == 2:
            base, depth, pad, n = struct.unpack_from("<32sBBH", data)
            if not 1 <= depth <= 6 or depth > left or pad or len(data) != 36 + 34 * n:
                raise ValueError("delta %s" % name.hex())
            node = bytearray(b"".join(self.node(base, level, depth - 1)))
            for i in range(n):
                index, new = struct.unpack_from("<H32s", data, 36 + 34 * i)
                node[32 * index:32 * index + 32] = new
            data = bytes(node)
        if len(data) != NODE or sha(b"kiln-node\0" + bytes([1, level]) + data) != name:
            raise ValueError("node %s" % name.hex())
        return [data[i:i + 32] for i in range(0, NODE, 32)]

    def walk(self, name, level, first):
        """Yields (chunk index, name) of what is not zero."""
        if name == ZERO:
            return
        for i, child in enumerate(self.node(name, level)):
            if child == ZERO:
                continue
            if level == 0:
                yield first + i, child
            else:
                yield from self.walk(child, level - 1, first + i * FAN ** level)


def main():
    region = Region(sys.argv[1])
    if len(sys.argv) == 2:
        for kind, level, name in region.frames:
            if kind == 0:
                region.chunk(name)
            else:
                region.node(name, level)
        print("%d packs, %d frames" % (region.packs, len(region.frames)))
        return
    root, size = bytes.fromhex(sys.argv[2].replace("sha256:", "")), int(sys.argv[3])
    level = 0
    while FAN ** (level + 1) * CHUNK < size:
        level += 1
    with open(sys.argv[4], "wb") as out:
        out.truncate(size)
        for index, name in region.walk(root, level, 0):
            out.seek(index * CHUNK)
            out.write(region.chunk(name)[:size - index * CHUNK])
    print(sha(b"kiln-disk\0" + b"\1" + struct.pack("<QI", size, CHUNK) + root).hex())


main()
