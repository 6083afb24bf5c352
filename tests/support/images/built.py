"""Images laid out byte by byte, legal or not. Nothing of the reader is used here, so that the two
cannot agree by mistake.

    image = build(directory({b"file": file(b"content", mode=0o600)}), superblock={"inode_count": 9})
    image.put(image.inode(b"/file"), "H", 15)

Every field of a record can be given by its name, and is otherwise what a writer would store. A
table's bytes can be given whole. Metadata is stored uncompressed unless a compressor is given, so
that what `Image.inode` and the like find can be changed in place.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Compressor: TypeAlias = Callable[[bytes], bytes]

ABSENT_32 = 2**32 - 1
ABSENT_64 = 2**64 - 1
BLOCK = 8192  # bytes in a full metadata block, decoded
STORED = 1 << 15  # of a metadata block's header
DATA_STORED = 1 << 24  # of a data block's word

SUPERBLOCK = {
    "magic": "I",
    "inode_count": "I",
    "mkfs_time": "I",
    "block_size": "I",
    "fragment_count": "I",
    "compression": "H",
    "block_log": "H",
    "flags": "H",
    "id_count": "H",
    "version_major": "H",
    "version_minor": "H",
    "root_inode": "Q",
    "bytes_used": "Q",
    "id_table": "Q",
    "xattr_table": "Q",
    "inode_table": "Q",
    "directory_table": "Q",
    "fragment_table": "Q",
    "export_table": "Q",
}
_HEADER = {"type": "H", "mode": "H", "uid": "H", "gid": "H", "mtime": "I", "number": "I"}
_BASIC = {
    1: {"start": "I", "nlink": "I", "size": "H", "offset": "H", "parent": "I"},
    2: {"start": "I", "fragment": "I", "offset": "I", "size": "I"},
    3: {"nlink": "I", "size": "I"},
    4: {"nlink": "I", "rdev": "I"},
    6: {"nlink": "I"},
}
_EXTENDED = {
    8: {
        "nlink": "I",
        "size": "I",
        "start": "I",
        "parent": "I",
        "index_count": "H",
        "offset": "H",
        "xattr": "I",
    },
    9: {
        "start": "Q",
        "size": "Q",
        "sparse": "Q",
        "nlink": "I",
        "fragment": "I",
        "offset": "I",
        "xattr": "I",
    },
    10: {"nlink": "I", "size": "I"},  # and the index of attributes behind the target
    11: {"nlink": "I", "rdev": "I", "xattr": "I"},
    13: {"nlink": "I", "xattr": "I"},
}
_ALIKE = {5: 4, 7: 6, 12: 11, 14: 13}
_RECORDS = _BASIC | _EXTENDED
_RECORDS |= {kind: _RECORDS[other] for kind, other in _ALIKE.items()}
_BASIC_TYPES = 7
_LONGEST_PATH = 4096  # bytes; what lies deeper is not found by its path


@dataclass(eq=False, slots=True, kw_only=True)
class Node:
    """An inode to be, and what hangs on it. One node under two names is a hard link."""

    kind: int
    """The type that decides the record's layout."""
    fields: dict[str, int]
    content: bytes = b""
    """Of a file; or a symlink's target."""
    tail: bytes | None = None
    """What stands behind the record, in place of what would."""
    children: dict[bytes, Node | Link] = field(default_factory=dict)
    listing: bytes | None = None
    """Of a directory, in place of what its children make."""
    index: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Of an extended directory: (offset in the listing, block, name)."""
    exact_size: bool = False
    """Whether a directory's size is its listing's, without three bytes for `.` and `..`."""
    in_fragment: bool = False
    words: list[int] | None = None
    """A file's block list, in place of its own."""
    number: int = 0
    reference: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A directory's entry that leads to any node, or anywhere."""

    to: Node
    entry: dict[str, int] = field(default_factory=dict)
    """Fields of the entry in place of its own: offset, delta, type, size; `reference` and `number`
    of the inode that it leads to.
    """


def directory(
    children: Mapping[bytes, Node | Link] | None = None,
    *,
    extended: bool = False,
    listing: bytes | None = None,
    index: Sequence[tuple[int, int, bytes]] = (),
    exact_size: bool = False,
    **fields: int,
) -> Node:
    """A directory of these children, or of this listing; with `exact_size` it says as many bytes as
    the listing has, as squashfs-tools-ng wrote before 1.1.3.
    """
    return Node(
        kind=8 if extended or index else 1,
        fields=fields,
        children=dict(children or {}),
        listing=listing,
        index=list(index),
        exact_size=exact_size,
    )


def file(
    content: bytes = b"",
    *,
    extended: bool = False,
    in_fragment: bool = False,
    words: Sequence[int] | None = None,
    **fields: int,
) -> Node:
    """A file, its tail in a fragment if so wanted; blocks of zeros are holes."""
    return Node(
        kind=9 if extended else 2,
        fields=fields,
        content=content,
        in_fragment=in_fragment,
        words=None if words is None else list(words),
    )


def symlink(target: bytes, *, extended: bool = False, **fields: int) -> Node:
    """A symlink; an extended one has the index of its attributes in the field `xattr`."""
    return Node(kind=10 if extended else 3, fields=fields, content=target)


def special(kind: int, **fields: int) -> Node:
    """A device, fifo or socket: types 4 to 7 and 11 to 14."""
    return Node(kind=kind, fields=fields)


@dataclass(slots=True)
class Image:
    """A finished image, to be changed in place. Positions are bytes from its start."""

    data: bytearray
    superblock: dict[str, int]
    inodes: dict[int, int]
    """Where each node's record stands, by the node's id()."""
    nodes: dict[bytes, Node]

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def node(self, path: bytes) -> Node:
        """The node at a path of the tree."""
        return self.nodes[path]

    def inode(self, path: bytes) -> int:
        """Where the record of a path stands, if metadata is stored."""
        return self.inodes[id(self.nodes[path])]

    def put(self, position: int, layout: str, *values: int) -> Image:
        """Replace the integers at `position`, little-endian."""
        struct.pack_into("<" + layout, self.data, position, *values)
        return self

    def put_superblock(self, **fields: int) -> Image:
        """Replace fields of the superblock."""
        position = 0
        for name, layout in SUPERBLOCK.items():
            if name in fields:
                self.put(position, layout, fields[name])
            position += struct.calcsize("<" + layout)
        return self

    def table(self, name: str) -> int:
        """Where a table starts, as the superblock has it."""
        return self.superblock[name + "_table"]


def pack(layouts: Mapping[str, str], values: Mapping[str, int]) -> bytes:
    """A record of fields in this order; absent values are 0."""
    return struct.pack("<" + "".join(layouts.values()), *(values.get(name, 0) for name in layouts))


def metadata(stream: bytes, compressor: Compressor | None = None) -> list[bytes]:
    """A stream as metadata blocks, each with its header; stored where that is smaller."""
    blocks = []
    for start in range(0, len(stream), BLOCK):
        block = stream[start : start + BLOCK]
        packed = compressor(block) if compressor else block
        if compressor and len(packed) < len(block):
            blocks.append(struct.pack("<H", len(packed)) + packed)
        else:
            blocks.append(struct.pack("<H", len(block) | STORED) + block)
    return blocks


def entries(
    block: int, number: int, *rows: tuple[int, int, int, bytes], count: int | None = None
) -> bytes:
    """A run of a listing: rows of (offset, delta, type, name)."""
    run = struct.pack("<IIi", len(rows) - 1 if count is None else count, block, number)
    for offset, delta, kind, name in rows:
        run += struct.pack("<HhHH", offset, delta, kind, len(name) - 1) + name
    return run


def build(
    root: Node,
    *,
    superblock: Mapping[str, int] | None = None,
    block_size: int = 4096,
    compression: int = 1,
    compressor: Compressor | None = None,
    options: bytes = b"",
    ids: Sequence[int] = (0,),
    exports: bool = True,
    fragments: Sequence[tuple[int, int]] | None = None,
    pairs: bytes = b"",
    sets: Sequence[tuple[int, int, int]] = (),
    tables: Mapping[str, bytes] | None = None,
    list_positions: Mapping[str, Sequence[int]] | None = None,
    padding: int = 0,
) -> Image:
    """Lay an image out: data, inodes, directories, fragments, exports, ids, xattrs.

    `options` stands behind the superblock as it is. `fragments` are (start, word) in place of the
    files' own. `pairs` and `sets` of (reference, count, size) are the xattr table. `tables` gives
    metadata blocks whole, with their headers, by table: inode, directory, fragment, export, id,
    xattr, xattr_id. `list_positions` gives the positions that a look-up table's list names.
    """
    return _Builder(
        root, block_size, compressor, dict(tables or {}), dict(list_positions or {})
    ).build(
        superblock=dict(superblock or {}),
        compression=compression,
        options=options,
        ids=ids,
        exports=exports,
        fragments=fragments,
        pairs=pairs,
        sets=sets,
        padding=padding,
    )


class _Builder:
    def __init__(
        self,
        root: Node,
        block_size: int,
        compressor: Compressor | None,
        tables: dict[str, bytes],
        list_positions: dict[str, Sequence[int]],
    ) -> None:
        self._root = root
        self._block_size = block_size
        self._compressor = compressor
        self._tables = tables
        self._list_positions = list_positions
        self._data = bytearray()
        self._nodes: dict[bytes, Node] = {}
        self._order: list[Node] = []
        self._fragment = b""

    def build(
        self,
        *,
        superblock: dict[str, int],
        compression: int,
        options: bytes,
        ids: Sequence[int],
        exports: bool,
        fragments: Sequence[tuple[int, int]] | None,
        pairs: bytes,
        sets: Sequence[tuple[int, int, int]],
        padding: int,
    ) -> Image:
        self._data = bytearray(96) + options
        self._number(b"/", self._root)
        for node in self._order:
            if node.kind in {2, 9}:
                self._store_content(node)
        if fragments is None:
            fragments = [self._store(self._fragment)] if self._fragment else []
        offsets = self._place_inodes()
        listings = self._make_listings()
        stream = b"".join(self._record(node) for node in self._order)
        starts = {"inode_table": len(self._data)}
        self._add("inode", stream)
        starts["directory_table"] = len(self._data)
        self._add("directory", listings)
        rows = b"".join(struct.pack("<QII", start, word, 0) for start, word in fragments)
        starts["fragment_table"] = self._add_lookup("fragment", rows) if rows else ABSENT_64
        rows = b"".join(struct.pack("<Q", node.reference) for node in self._order)
        starts["export_table"] = self._add_lookup("export", rows) if exports else ABSENT_64
        starts["id_table"] = self._add_lookup("id", struct.pack(f"<{len(ids)}I", *ids))
        starts["xattr_table"] = self._add_xattrs(pairs, sets) if sets else ABSENT_64
        values = {
            "magic": 0x73717368,
            "inode_count": len(self._order),
            "block_size": self._block_size,
            "fragment_count": len(fragments),
            "compression": compression,
            "block_log": self._block_size.bit_length() - 1,
            "flags": 0x400 if options else 0,
            "id_count": len(ids),
            "version_major": 4,
            "root_inode": self._root.reference,
            "bytes_used": len(self._data),
            **starts,
            **superblock,
        }
        self._data[:96] = pack(SUPERBLOCK, values)
        table = starts["inode_table"]
        places = {
            id(node): table + offset + 2 * (offset // BLOCK + 1)
            for node, offset in zip(self._order, offsets, strict=True)
        }
        return Image(self._data + bytes(padding), values, places, self._nodes)

    # ---- inodes and listings ---------------------------------------------------------------------

    def _number(self, path: bytes, node: Node) -> None:
        """Name the nodes below, and number them; the root comes last, as writers have it."""
        todo = [(path, node)]
        seen = set()
        while todo:
            path, node = todo.pop()
            if len(path) <= _LONGEST_PATH:
                self._nodes[path] = node
            if id(node) not in seen:
                seen.add(id(node))
                self._order.append(node)
            prefix = path.rstrip(b"/")[:_LONGEST_PATH] + b"/"
            todo += [
                (prefix + name, child)
                for name, child in reversed(node.children.items())
                if isinstance(child, Node)
            ]
        self._order.append(self._order.pop(0))
        for number, numbered in enumerate(self._order, 1):
            numbered.number = numbered.fields.get("number", number)

    def _place_inodes(self) -> list[int]:
        """Give each node its reference; the offsets of the records in their stream."""
        offsets, offset = [], 0
        for node in self._order:
            offsets.append(offset)
            offset += len(self._record(node))
        stream = bytes(offset) if self._compressor is None else self._stream_to_be()
        blocks = metadata(stream, self._compressor)
        starts = [0, *accumulate(map(len, blocks))]
        for node, at in zip(self._order, offsets, strict=True):
            node.reference = (starts[at // BLOCK] << 16) | at % BLOCK
        return offsets

    def _stream_to_be(self) -> bytes:
        """The inodes' stream where it is one compressed block: no position depends on it then."""
        stream = b"".join(self._record(node) for node in self._order)
        assert len(stream) <= BLOCK, "compressed inodes of more than one block are not laid out"
        return stream

    def _make_listings(self) -> bytes:
        stream = bytearray()
        directories = [node for node in self._order if node.kind in {1, 8}]
        for node in directories:
            listing = self._listing(node) if node.listing is None else node.listing
            block = len(stream) // BLOCK
            if self._compressor is not None:
                assert len(stream) + len(listing) <= BLOCK, "as for the inodes"
            node.fields = {
                "start": block * (BLOCK + 2),
                "offset": len(stream) % BLOCK,
                "size": len(listing) + (0 if node.exact_size else 3),
                "nlink": 2,
                "parent": len(self._order) + 1,
                **node.fields,
            }
            stream += listing
        return bytes(stream)

    def _listing(self, node: Node) -> bytes:
        """A run for each child: simple, and as good as any."""
        listing = b""
        for name, child in node.children.items():
            to = child.to if isinstance(child, Link) else child
            entry = child.entry if isinstance(child, Link) else {}
            reference = entry.get("reference", to.reference)
            kind = (to.kind - 1) % _BASIC_TYPES + 1
            listing += struct.pack("<IIi", 0, reference >> 16, entry.get("number", to.number))
            listing += struct.pack(
                "<HhHH",
                entry.get("offset", reference & 0xFFFF),
                entry.get("delta", 0),
                entry.get("type", kind),
                entry.get("size", len(name) - 1),
            )
            listing += name
        return listing

    def _record(self, node: Node) -> bytes:
        mode = (
            0o755 if node.kind in {1, 8} else 0o644
        )  # as a user, too, one enters what is unpacked
        values = {"type": node.kind, "mode": mode, "number": node.number, "nlink": 1}
        values |= {"fragment": ABSENT_32, "xattr": ABSENT_32, "index_count": len(node.index)}
        if node.kind not in {1, 8}:
            values["size"] = len(node.content)
        values |= node.fields
        tail = self._tail(node, values) if node.tail is None else node.tail
        return pack(_HEADER, values) + pack(_RECORDS[node.kind], values) + tail

    def _tail(self, node: Node, values: Mapping[str, int]) -> bytes:
        words = node.words or []
        index = b"".join(
            struct.pack("<III", offset, block, len(name) - 1) + name
            for offset, block, name in node.index
        )
        target = node.content if node.kind in {3, 10} else b""
        behind = struct.pack("<I", values["xattr"]) if node.kind == 10 else b""
        return struct.pack(f"<{len(words)}I", *words) + index + target + behind

    # ---- data and tables -------------------------------------------------------------------------

    def _store(self, content: bytes) -> tuple[int, int]:
        """Add a block of data; its position and its word."""
        start = len(self._data)
        packed = self._compressor(content) if self._compressor else content
        if len(packed) < len(content):
            self._data += packed
            return start, len(packed)
        self._data += content
        return start, len(content) | DATA_STORED

    def _store_content(self, node: Node) -> None:
        size = self._block_size
        end = len(node.content)
        if node.in_fragment and end % size:
            end -= end % size
            node.fields = {"fragment": 0, "offset": len(self._fragment)} | node.fields
            self._fragment += node.content[end:]
        start = len(self._data)
        words = []
        for at in range(0, end, size):
            block = node.content[at : min(at + size, end)]
            words.append(self._store(block)[1] if any(block) else 0)
        node.fields = {"start": start if any(words) else 0} | node.fields
        if node.words is None:
            node.words = words

    def _add(self, name: str, stream: bytes) -> list[int]:
        """Add a table's metadata blocks; their positions."""
        if name in self._tables:
            positions = [len(self._data)]
            self._data += self._tables[name]
            return positions
        positions = []
        for block in metadata(stream, self._compressor):
            positions.append(len(self._data))
            self._data += block
        return positions

    def _add_lookup(self, name: str, rows: bytes) -> int:
        """Add a look-up table; where its list of positions starts."""
        positions = self._list_positions.get(name, self._add(name, rows))
        start = len(self._data)
        self._data += struct.pack(f"<{len(positions)}Q", *positions)
        return start

    def _add_xattrs(self, pairs: bytes, sets: Sequence[tuple[int, int, int]]) -> int:
        first = len(self._data)
        self._add("xattr", pairs)
        rows = b"".join(struct.pack("<QII", *one) for one in sets)
        positions = self._list_positions.get("xattr_id", self._add("xattr_id", rows))
        start = len(self._data)
        self._data += struct.pack("<QII", first, len(sets), 0)
        self._data += struct.pack(f"<{len(positions)}Q", *positions)
        return start
