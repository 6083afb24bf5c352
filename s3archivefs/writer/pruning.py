"""Owners, fragments and attributes that no inode names leave their tables.

Readers refuse images of more fragments than inodes, or of more than two owners an inode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.format import ABSENT_32, FragmentEntry
from s3archivefs.writer.ids import IdTable
from s3archivefs.writer.inode_records import (
    fragment_of,
    mtime_of,
    owned,
    owners_of,
    with_fragment,
    with_xattrs,
    xattr_index_of,
)

if TYPE_CHECKING:
    from s3archivefs.writer.inode_records import Attributes
    from s3archivefs.writer.tree import Tree
    from s3archivefs.writer.xattrs import XattrTable

__all__ = ["Pruned", "prune"]


class Pruned(NamedTuple):
    """What a tree names."""

    ids: IdTable
    fragment_entries: bytes
    newest: int
    """The newest time of a member, in seconds since the epoch."""


def prune(tree: Tree, ids: IdTable, xattrs: XattrTable, fragment_entries: bytes) -> Pruned:
    """Return the owners and fragments that the tree names; leave no other set in `xattrs`.

    It names them by their new indexes then.
    """
    entry_size = FragmentEntry.layout.size
    owners: set[int] = set()
    fragments: set[int] = set()
    sets: set[int] = set()
    newest = 0

    def note(record: bytes) -> bytes:
        nonlocal newest
        owners.update(owners_of(record))
        fragments.add(fragment_of(record))
        sets.add(xattr_index_of(record))
        newest = max(newest, mtime_of(record))
        return record

    def note_directory(attributes: Attributes) -> Attributes:
        nonlocal newest
        owners.update((attributes.uid_index, attributes.gid_index))
        sets.add(attributes.xattr_index)
        newest = max(newest, attributes.mtime)
        return attributes

    tree.replace(note, note_directory)
    fragments.discard(ABSENT_32)
    sets.discard(ABSENT_32)
    if (
        len(owners) == len(ids)
        and len(fragments) * entry_size == len(fragment_entries)
        and len(sets) == len(xattrs)
    ):
        return Pruned(ids, fragment_entries, newest)

    kept = IdTable()
    new_owners = {old: kept.index(owner) for old, owner in enumerate(ids) if old in owners}
    new_fragments = {old: new for new, old in enumerate(sorted(fragments))}
    new_sets = {each: each for each in sets} if len(sets) == len(xattrs) else xattrs.keep(sets)
    new_sets[ABSENT_32] = ABSENT_32

    def renumber(record: bytes) -> bytes:
        uid, gid = owners_of(record)
        record = owned(record, new_owners[uid], new_owners[gid])
        record = with_xattrs(record, new_sets[xattr_index_of(record)])
        fragment = fragment_of(record)
        return record if fragment == ABSENT_32 else with_fragment(record, new_fragments[fragment])

    def renumber_directory(attributes: Attributes) -> Attributes:
        return attributes._replace(
            uid_index=new_owners[attributes.uid_index],
            gid_index=new_owners[attributes.gid_index],
            xattr_index=new_sets[attributes.xattr_index],
        )

    tree.replace(renumber, renumber_directory)
    entries = b"".join(
        fragment_entries[old * entry_size : (old + 1) * entry_size] for old in new_fragments
    )
    return Pruned(kept, entries, newest)
