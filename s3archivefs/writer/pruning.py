"""Owners and fragments that no inode names any more are left out of their tables.

Readers refuse images of more fragments than inodes, or of more than two owners an inode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.format import ABSENT_32, FragmentEntry
from s3archivefs.writer.ids import IdTable
from s3archivefs.writer.inode_records import (
    fragment_of,
    owned,
    owners_of,
    with_fragment,
)

if TYPE_CHECKING:
    from s3archivefs.writer.inode_records import Attributes
    from s3archivefs.writer.tree import Tree

__all__ = ["prune"]


def prune(tree: Tree, ids: IdTable, fragment_entries: bytes) -> tuple[IdTable, bytes]:
    """Return the owners and fragments that the tree names.

    It names them by their new indexes then.
    """
    entry_size = FragmentEntry.layout.size
    owners: set[int] = set()
    fragments: set[int] = set()

    def note(record: bytes) -> bytes:
        owners.update(owners_of(record))
        fragments.add(fragment_of(record))
        return record

    def note_directory(attributes: Attributes) -> Attributes:
        owners.update((attributes.uid_index, attributes.gid_index))
        return attributes

    tree.replace(note, note_directory)
    fragments.discard(ABSENT_32)
    if len(owners) == len(ids) and len(fragments) * entry_size == len(fragment_entries):
        return ids, fragment_entries

    kept = IdTable()
    new_owners = {old: kept.index(owner) for old, owner in enumerate(ids) if old in owners}
    new_fragments = {old: new for new, old in enumerate(sorted(fragments))}

    def renumber(record: bytes) -> bytes:
        uid, gid = owners_of(record)
        record = owned(record, new_owners[uid], new_owners[gid])
        fragment = fragment_of(record)
        return record if fragment == ABSENT_32 else with_fragment(record, new_fragments[fragment])

    def renumber_directory(attributes: Attributes) -> Attributes:
        return attributes._replace(
            uid_index=new_owners[attributes.uid_index], gid_index=new_owners[attributes.gid_index]
        )

    tree.replace(renumber, renumber_directory)
    return kept, b"".join(
        fragment_entries[old * entry_size : (old + 1) * entry_size] for old in new_fragments
    )
