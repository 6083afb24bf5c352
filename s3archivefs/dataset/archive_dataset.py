"""`ArchiveDataset`: the files of an image as a map-style dataset."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing, contextmanager, suppress
from functools import cached_property, partial
from operator import index as as_index
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload
from weakref import finalize

from s3archivefs.dataset.batch import Batch, check_workers
from s3archivefs.dataset.decoding import decoded
from s3archivefs.dataset.kept_image import kept_image
from s3archivefs.dataset.members import members_of
from s3archivefs.dataset.overriding import ReadByBatches
from s3archivefs.dataset.partitioning import partitions_of
from s3archivefs.dataset.places import place_of, places_of
from s3archivefs.dataset.shared_file import mapped, shared
from s3archivefs.dataset.tree import open_tree
from s3archivefs.errors import SquashfsError
from s3archivefs.file import check_limit
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.dataset.members import Members
    from s3archivefs.dataset.places import Places
    from s3archivefs.dataset.shared_file import SharedFile
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat
    from s3archivefs.limits import Limits
    from s3archivefs.reopening import Origin

__all__ = ["ArchiveDataset"]

Item = TypeVar("Item")

_AT_ONCE_BYTES = 8 << 20  # of content that an iteration reads at once, unless one member has more
_AT_ONCE = 4096  # likewise items
_PARTITION_BYTES = 16 << 20
_FAULTS = (SquashfsError, OSError)
_CLOSED = "the dataset is closed"


class ArchiveDataset(ReadByBatches, Generic[Item]):
    """The regular files of an image that a pattern matches: a map-style dataset.

    It has what PyTorch's DataLoader asks of a dataset, and needs nothing of PyTorch. `url` is what
    `s3archivefs.open` takes; the image starts at byte `offset` of it. `glob` is a pattern of
    `pathlib`, from the root, or from the directory of a chained URL
    (`squashfs://directory::s3://bucket/a.sqfs`); symlinks to files count, and `**` follows none.
    `storage_options` are what `fsspec.open` takes for the URL of the image: options of its
    filesystem, or those of each in a chain by protocol (`{"s3": {"endpoint_url": ...}}`).
    Members are counted from 0 in the order of the tree, names in byte order. An item is what
    `decode` returns for the content of its member, the content itself if there is none. A subclass
    that adds to them overrides `__getitems__`.

    The members are listed once, in 40 bytes each and their names. A pickle holds neither: it takes
    less than a kilobyte, and the process that loads it maps the list from a temporary file of the
    first, or lists anew on another machine; for other machines there are `partitions`. It opens the
    image when it first reads, which stays open for other pickles of the same dataset, and raises
    OSError (ESTALE) where another image is there now. Threads and forked processes may use the
    dataset as it is.

    Creating it raises what `s3archivefs.open` and `Path.glob` raise, and for a directory of a
    chained URL that is not there FileNotFoundError or NotADirectoryError.
    """

    @overload
    def __init__(
        self: ArchiveDataset[bytes],
        url: object,
        glob: str = ...,
        decode: None = ...,
        *,
        offset: int = ...,
        limits: Limits | None = ...,
        storage_options: Mapping[str, Any] | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        url: object,
        glob: str = ...,
        decode: Callable[[bytes], Item] = ...,
        *,
        offset: int = ...,
        limits: Limits | None = ...,
        storage_options: Mapping[str, Any] | None = ...,
    ) -> None: ...
    def __init__(
        self,
        url: object,
        glob: str = "**/*",
        decode: Callable[[bytes], Any] | None = None,
        *,
        offset: int = 0,
        limits: Limits | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._glob = glob
        self._decode: Callable[[bytes], Item] | None = decode
        image, self._top = open_tree(url, offset, limits, storage_options)
        self._close: Callable[[], object] = finalize(self, image.close)
        self._image: SquashFS | None = image
        self._origin = image.origin
        self._members: Members | None = members_of(image, glob, self._top)
        self._shared: SharedFile | None = None
        self._is_part = False
        self._places: Places | None = None
        """Of a partition, where its contents lie."""
        self._closed = False
        self._kept: dict[int, bytes] = {}
        """Contents of members that were read ahead."""

    # ---- Members ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.members.references)

    def path(self, index: int) -> str:
        """Return the path of a member in the image.

        Raises IndexError where there is none.
        """
        return self.members.path(self._checked(index))

    def partitions(self, partition_bytes: int = _PARTITION_BYTES) -> list[Self]:
        """Return the members in partitions of about so many bytes, for workers elsewhere.

        Each is a dataset of its own, with its members in the order of the disk. They are in its
        pickle, 40 bytes and a name each, and where their blocks lie: a worker lists nothing, and
        reads contents alone. Of an archive in S3 it takes the version of this dataset without
        asking, and fetches no byte that is another's.

        No two partitions share a block, nor a fragment block with the tails of files; but files
        that do, and have more than twice the mean and more than 8 MiB, are divided. None has less
        than half of the mean. Raises ValueError where `partition_bytes` is less than 1.
        """
        if partition_bytes < 1:
            raise ValueError(f"partition_bytes is {partition_bytes}: it must be at least 1")
        origin = self.image.pinned_origin()
        partitions = partitions_of(self.members, partition_bytes)
        return [self._part(indices, origin) for indices in partitions]

    def _part(self, indices: Sequence[int], origin: Origin) -> Self:
        """Return the dataset of some members."""
        part = object.__new__(type(self))
        vars(part).update(self._state())
        part._members, part._shared, part._is_part = self.members.taken(indices), None, True
        part._places = places = places_of(self.image, part._members)
        part._origin = origin if places is None else origin.of_part(places.start, places.stop)
        return part

    @property
    def members(self) -> Members:
        """The members, in columns."""
        if self._members is None:
            found = self._shared and mapped(self._shared)
            self._members = found or members_of(self.image, self._glob, self._top)
        return self._members

    @property
    def image(self) -> SquashFS:
        """The image, opened again if this process has not yet opened it.

        Raises ValueError if the dataset is closed.
        """
        if self._closed:
            raise ValueError(_CLOSED)
        if self._image is None:
            self._image = kept_image(self._origin)
            if self._places is not None:
                self._image.know_fragment_blocks(self._places.fragment_blocks)
        return self._image

    # ---- Items -----------------------------------------------------------------------------------

    def __getitem__(self, index: int) -> Item:
        """Return the item of a member, counted from the end if negative.

        Raises IndexError where there is none, and else what `__getitems__` raises.
        """
        return self.__getitems__((index,))[0]

    def __iter__(self) -> Iterator[Item]:
        """Yield all items in order, of up to 8 MiB of content at once."""
        start = weight = 0
        for index, size in enumerate(self.members.sizes):
            if index > start and (weight + size > _AT_ONCE_BYTES or index - start == _AT_ONCE):
                yield from self.__getitems__(range(start, index))
                start, weight = index, 0
            weight += size
        yield from self.__getitems__(range(start, len(self)))

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return the items of several members, which DataLoader asks for at once.

        They are read in the order of the disk: what is adjacent in one request, each block decoded
        once, while items that are read are decoded. What a batch of `BlockShuffle` has besides is
        read with them, and kept until it is asked for. Raises DecodeError where `decode` fails, and
        what `SquashFS.read_bytes` raises, with the member's path in a note; ValueError for a batch
        of a `BlockShuffle` that is for another number of workers.
        """
        ahead: Sequence[int] = ()
        if isinstance(indices, Batch):
            check_workers(indices.workers)
            ahead = indices.ahead
            if indices.is_first:
                self._kept.clear()
        places: dict[int, list[int]] = defaultdict(list)
        for at, index in enumerate(indices):
            places[self._checked(index)].append(at)
        items: dict[int, Item] = {}
        with closing(self._contents(places, ahead)) as contents:
            for number, content in contents:
                if number not in places:
                    self._kept[number] = content
                for at in places.get(number, ()):
                    items[at] = self._item(number, content)
        if isinstance(indices, Batch) and len(self._kept) > indices.left:
            # Another process was asked for them: batches went elsewhere than they are for.
            for number in [*self._kept][: len(self._kept) - indices.left]:
                self._kept.pop(number, None)
        return [items[at] for at in range(len(indices))]

    def _contents(
        self, numbers: Iterable[int], ahead: Sequence[int]
    ) -> Generator[tuple[int, bytes], None, None]:
        """Yield the contents of members, and of those to read ahead where they are sound."""
        due = {*numbers}
        for number in [*due]:
            content = self._kept.pop(number, None)
            if content is not None:
                due.remove(number)
                yield number, content
        with closing(self._read(due, {*ahead} - {*numbers})) as contents:
            for number, pieces in contents:
                with self._naming(number) if number in due else suppress(*_FAULTS):
                    yield number, b"".join(pieces)

    def _read(
        self, due: Iterable[int], ahead: Iterable[int]
    ) -> Generator[tuple[int, Iterable[bytes | memoryview]], None, None]:
        """Yield the pieces of members; those read ahead only where they may be read."""
        places = self._places
        if places is None:
            return self.image.read_pieces(
                [*self._stats(due), *self._stats(ahead, skip_faults=True)], among=self._total
            )
        return self.image.read_placed(
            [*self._placed(places, due), *self._placed(places, ahead, skip_faults=True)]
        )

    @cached_property
    def _total(self) -> int:
        """Bytes of all members, which an epoch reads once each."""
        return sum(self.members.sizes)

    def _placed(
        self, places: Places, numbers: Iterable[int], *, skip_faults: bool = False
    ) -> Iterator[tuple[int, ContentPlace, Sequence[int]]]:
        """Yield the places of members likewise, of a partition."""
        members, most = self.members, self.image.limits.read_all_bytes
        for number in numbers:
            with suppress(*_FAULTS) if skip_faults else self._naming(number):
                check_limit(members.sizes[number], most)
                yield number, place_of(members, number), places.words_of(number)

    def _stats(
        self, numbers: Iterable[int], *, skip_faults: bool = False
    ) -> Iterator[tuple[int, Stat]]:
        """Yield the attributes of members that may be read into memory."""
        image, references = self.image, self.members.references
        most = image.limits.read_all_bytes
        for number in numbers:
            with suppress(*_FAULTS) if skip_faults else self._naming(number):
                stat = image.stat_of_node(references[number])
                check_limit(stat.size, most)
                yield number, stat

    def _item(self, number: int, content: bytes) -> Item:
        if self._decode is None:
            return cast("Item", content)
        return decoded(self._decode, content, partial(self.members.path, number))

    @contextmanager
    def _naming(self, number: int) -> Iterator[None]:
        """Add a member's path to what reading it raises."""
        try:
            yield
        except _FAULTS as error:
            error.add_note(f"while reading {printed(self.members.path(number))}")
            raise

    def _checked(self, index: int) -> int:
        """Return the number of a member, counted from 0."""
        number = as_index(index)
        count = len(self)
        if not -count <= number < count:
            raise IndexError(f"the dataset has {count} members, and none of index {number}")
        return number % count

    # ---- Other processes, and the end ------------------------------------------------------------

    def __getstate__(self) -> dict[str, object]:
        if self._closed:
            raise ValueError(_CLOSED)
        self._origin.check_pickles()
        if self._is_part:
            return {**self._state(), "_members": self.members}
        if self._shared is None:
            with suppress(OSError):  # no room: others list for themselves
                self._shared = shared(self.members, self)
        return self._state()

    def _state(self) -> dict[str, object]:
        """Return what makes the dataset in another process, without its members."""
        return {
            **{name: value for name, value in vars(self).items() if name != "_total"},
            "_image": None,
            "_members": None,
            "_kept": {},
            "_close": _nothing,
        }

    def close(self) -> None:
        """Close the dataset: nothing more can be read, nor can it be pickled.

        The image closes if the dataset was not loaded from a pickle, and is no partition.
        """
        self._closed = True
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing() -> None:
    """Close nothing: the image is not the dataset's own."""
