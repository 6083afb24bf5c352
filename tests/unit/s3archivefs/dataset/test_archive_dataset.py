from __future__ import annotations

import errno
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import BytesDevice, CorruptImageError, LimitExceededError, Limits
from s3archivefs.dataset import ArchiveDataset, BlockShuffle, DecodeError
from s3archivefs.dataset.batch import Batch
from tests.support.images.drafts import draft
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.processes.other_process import FileBytes
from tests.unit.s3archivefs.dataset.conftest import BLOCK, CONTENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.images.drafts import Draft

TIME = 1_234_567_890


@pytest.fixture(scope="module")
def opened(image: Path) -> Iterator[ArchiveDataset[bytes]]:
    with ArchiveDataset(image) as dataset:
        yield dataset


def content(dataset: ArchiveDataset[bytes], index: int) -> bytes:
    path = dataset.path(index)
    return CONTENTS["/cat/01.txt" if path == "/link.txt" else path]


# ---- Items ---------------------------------------------------------------------------------------


def test_items_are_contents_in_the_order_of_members(dataset: ArchiveDataset[bytes]) -> None:
    assert len(dataset) == len(CONTENTS) + 1
    assert [*dataset] == [content(dataset, index) for index in range(len(dataset))]


@pytest.mark.property
@given(data=st.data())
def test_items_at_once_are_the_items_one_by_one(
    opened: ArchiveDataset[bytes], data: st.DataObject
) -> None:
    count = len(opened)
    indices = data.draw(st.lists(st.integers(-count, count - 1), max_size=20))
    items = opened.__getitems__(indices)
    assert items == [opened[index] for index in indices]
    assert items == [content(opened, index) for index in indices]


def test_an_index_that_no_member_has_raises(dataset: ArchiveDataset[bytes]) -> None:
    count = len(dataset)
    for index in (count, -count - 1):
        for call in (
            dataset.__getitem__,
            dataset.path,
            lambda each: dataset.__getitems__([0, each]),
        ):
            with pytest.raises(IndexError, match=f"has {count} members, and none of index {index}"):
                call(index)


def test_decode_makes_the_items(image: Path) -> None:
    with ArchiveDataset(image, "dog/*", len) as dataset:
        assert [*dataset] == [len(CONTENTS[f"/dog/{number:02}.txt"]) for number in range(20)]


def test_decode_is_called_for_each_item(image: Path) -> None:
    with ArchiveDataset(image, "dog/*", bytearray) as dataset:
        one, other = dataset.__getitems__([3, 3])
    assert one == other
    assert one is not other


def test_a_member_that_does_not_decode_is_named(image: Path) -> None:
    def decode(content: bytes) -> int:
        return int(content[:0])

    with ArchiveDataset(image, "cat/0*", decode) as dataset:
        with pytest.raises(DecodeError, match=r"^/cat/05\.txt: ValueError: invalid lit") as caught:
            dataset.__getitems__([5])
        assert isinstance(caught.value.__cause__, ValueError)


def test_what_is_said_of_a_member_is_one_line(image: Path) -> None:
    def decode(content: bytes) -> int:
        raise RuntimeError("one\ntwo")

    with ArchiveDataset(image, "caf*", decode) as dataset:
        with pytest.raises(DecodeError) as caught:
            dataset[0]
        assert str(caught.value) == r"/caf\xe9.txt: RuntimeError: one two"


def test_a_subclass_that_a_loader_would_pass_by_is_refused() -> None:
    class Labelled(ArchiveDataset[Any]):
        def __getitems__(self, indices: Sequence[int]) -> list[Any]:
            return [(item, 1) for item in super().__getitems__(indices)]

    for base in (ArchiveDataset, Labelled):
        with pytest.raises(TypeError, match=r"Noisy overrides __getitem__, .* override that"):
            type("Noisy", (base,), {"__getitem__": lambda *_: b"noise"})
    both = {"__getitem__": lambda *_: b"noise", "__getitems__": lambda *_: [b"noise"]}
    assert issubclass(type("Both", (Labelled,), both), ArchiveDataset)


def test_a_subclass_may_have_other_bases(image: Path) -> None:
    class Abstract:
        """A class such as PyTorch's Dataset."""

        def __getitem__(self, index: int) -> bytes:
            raise NotImplementedError

    class Tagged:
        tag = ""

        def __init_subclass__(cls, tag: str, **arguments: object) -> None:
            super().__init_subclass__(**arguments)
            cls.tag = tag

    class First(Abstract, ArchiveDataset[bytes]):
        pass

    class Last(ArchiveDataset[bytes], Tagged, Abstract, tag="cats"):
        pass

    assert Last.tag == "cats"
    for kind in (First, Last):
        with kind(image, "cat/*") as dataset:
            assert dataset.__getitems__([1]) == [CONTENTS["/cat/01.txt"]]


def test_a_subclass_has_labels_by_path(image: Path) -> None:
    class Labelled(ArchiveDataset[Any]):
        def __getitems__(self, indices: Sequence[int]) -> list[Any]:
            items = super().__getitems__(indices)
            labels = [self.path(index).split("/")[1] for index in indices]
            return [*zip(items, labels, strict=True)]

    with Labelled(image, "[cd]*/*.txt") as dataset:
        assert dataset[1] == (CONTENTS["/cat/01.txt"], "cat")
        assert dataset[-1] == (CONTENTS["/dog.old/19.txt"], "dog.old")


# ---- What it reads -------------------------------------------------------------------------------


def test_items_at_once_take_one_request_where_they_adjoin(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    dataset = ArchiveDataset(device, "dog/*")
    dataset.__getitems__([0])
    device.forget()
    dataset.__getitems__(range(len(dataset)))
    assert len(device.reads) <= 1


def test_an_iteration_reads_what_adjoins_at_once(tmp_path: Path) -> None:
    contents = [noise(100, str(number)) for number in range(1000)]
    tree = tuple(file(f"{number:03}", data) for number, data in enumerate(contents))
    device = CountingDevice(make_image(tmp_path, tree, "-b", "131072").read_bytes())
    dataset = ArchiveDataset(device, limits=Limits(cache_bytes=0))
    device.forget()
    assert [*dataset] == [contents[int(dataset.path(index)[1:])] for index in range(1000)]
    metadata = dataset.image.superblock.inode_table_start
    assert sum(offset < metadata for offset, _ in device.reads) == 1


def test_what_a_batch_reads_ahead_is_read_once(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    dataset = ArchiveDataset(device, "dog/*", limits=Limits(cache_bytes=0))
    first = dataset.__getitems__(Batch([3, 1], range(12), left=10, is_first=True))
    device.forget()
    rest = [*range(4, 12), 0, 2]
    items = dataset.__getitems__(Batch(rest))
    assert device.reads == []
    assert first + items == [content(dataset, index) for index in [3, 1, *rest]]
    dataset.__getitems__(rest)
    assert device.reads  # for none of them is kept any longer


def test_what_was_read_ahead_is_forgotten_in_another_epoch(image: Path) -> None:
    device = CountingDevice(image.read_bytes())
    dataset = ArchiveDataset(device, "dog/*", limits=Limits(cache_bytes=0))
    for _ in range(2):
        device.forget()
        dataset.__getitems__(Batch([1], range(12), left=11, is_first=True))
        assert device.reads
    device.forget()
    assert dataset.__getitems__(Batch([2], is_first=True)) == [content(dataset, 2)]
    assert device.reads


# ---- Damaged images and limits -------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Draft:
    """An image of which the file `b` does not read: its second block is too short."""
    tree = (file("a", noise(3 * BLOCK)), file("b", noise(2 * BLOCK, "b"), mtime=TIME), file("c"))
    image = draft(tmp_path, tree)
    image.put(image.inode(TIME) + 32 + 4, "I", 1 << 24 | 9)
    return image


def test_a_damaged_member_raises_by_name_and_others_are_read(damaged: Draft) -> None:
    dataset = ArchiveDataset(BytesDevice(bytes(damaged.data)))
    assert dataset.__getitems__([2, 0]) == [b"", noise(3 * BLOCK)]
    with pytest.raises(CorruptImageError) as caught:
        dataset.__getitems__([0, 1])
    assert caught.value.__notes__ == ["while reading /b"]


def test_a_damaged_member_of_a_partition_raises_by_name_too(damaged: Draft) -> None:
    with ArchiveDataset(BytesDevice(bytes(damaged.data))) as dataset:
        [part] = dataset.partitions()
    items = {part.path(index): index for index in range(len(part))}
    assert part.__getitems__([items["/c"], items["/a"]]) == [b"", noise(3 * BLOCK)]
    with pytest.raises(CorruptImageError) as caught:
        part[items["/b"]]
    assert caught.value.__notes__ == ["while reading /b"]


def test_a_damaged_member_that_is_read_ahead_raises_in_its_turn(damaged: Draft) -> None:
    dataset = ArchiveDataset(BytesDevice(bytes(damaged.data)))
    assert dataset.__getitems__(Batch([0], [0, 1, 2], left=2, is_first=True)) == [noise(3 * BLOCK)]
    assert dataset.__getitems__(Batch([2], left=1)) == [b""]
    with pytest.raises(CorruptImageError):
        dataset.__getitems__(Batch([1]))


def test_a_member_larger_than_allowed_raises_by_name(image: Path) -> None:
    with ArchiveDataset(image, "large", limits=Limits(read_all_bytes=1 << 20)) as dataset:
        with pytest.raises(LimitExceededError, match="read_all_bytes") as caught:
            dataset[0]
        assert caught.value.__notes__ == ["while reading /large"]


def test_a_closed_dataset_reads_no_more(image: Path) -> None:
    with ArchiveDataset(image, "cat/*") as dataset:
        pass
    assert dataset.path(0) == "/cat/00.txt"
    with pytest.raises(ValueError, match="closed"):
        dataset[0]


# ---- Other processes -----------------------------------------------------------------------------


def loaded(pickled: bytes) -> ArchiveDataset[Any]:
    dataset: ArchiveDataset[Any] = pickle.loads(pickled)  # noqa: S301 -- our own
    return dataset


def sent(dataset: ArchiveDataset[Any]) -> ArchiveDataset[Any]:
    """The dataset as another process gets it."""
    return loaded(pickle.dumps(dataset))


def test_a_pickle_is_small_whatever_the_number_of_members(dataset: ArchiveDataset[bytes]) -> None:
    assert len(pickle.dumps(dataset)) <= 1280  # in Debian 12's Python 3.11.2; 1024 in later ones


def test_a_pickle_opens_nothing_before_it_is_read(image: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(image, tmp_path))
    with ArchiveDataset(copy) as dataset:
        other = sent(dataset)
        copy.unlink()
        assert [*map(other.path, range(len(other)))] == [*map(dataset.path, range(len(dataset)))]
        assert [*BlockShuffle(other, 7)] == [*BlockShuffle(dataset, 7)]
        with pytest.raises(FileNotFoundError):
            other[0]


def test_a_shuffle_goes_to_other_processes_from_wherever_it_is(image: Path) -> None:
    with ArchiveDataset(image) as dataset:
        for each in (dataset, sent(dataset)):
            shuffle = BlockShuffle(each, 7)
            copy = pickle.loads(pickle.dumps(shuffle))  # noqa: S301 -- our own
            assert [*copy] == [*shuffle]


def test_a_pickle_outlives_the_dataset(image: Path) -> None:
    with ArchiveDataset(image, "cat/*", len) as dataset:
        expected, pickled = [*dataset], pickle.dumps(dataset)
    del dataset
    with loaded(pickled) as other:
        assert [*other] == expected
        assert other.path(0) == "/cat/00.txt"


def test_a_pickle_is_of_one_image(image: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(image, tmp_path))
    with ArchiveDataset(copy) as dataset:
        other = sent(dataset)
    make_image(tmp_path, (file("another"),)).replace(copy)
    with pytest.raises(OSError, match="another image") as caught:
        other[0]
    assert caught.value.errno == errno.ESTALE


def test_a_closed_dataset_is_not_pickled(image: Path) -> None:
    with ArchiveDataset(image, "cat/*") as dataset:
        part = dataset.partitions()[0]
    assert len(sent(part)) == len(dataset)
    part.close()
    for closed in (dataset, part):
        with pytest.raises(ValueError, match="closed"):
            pickle.dumps(closed)


def test_a_pickle_without_room_for_its_list_lists_anew(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with ArchiveDataset(image) as dataset, sent(dataset) as other:
        assert [*other] == [*dataset]


def test_a_device_goes_along_if_it_can(image: Path) -> None:
    other = sent(ArchiveDataset(FileBytes(str(image)), "cat/*"))
    assert other[1] == CONTENTS["/cat/01.txt"]
    with pytest.raises(TypeError, match="CountingDevice cannot be pickled"):
        pickle.dumps(ArchiveDataset(CountingDevice(image.read_bytes())))


# ---- Cost of importing ---------------------------------------------------------------------------


def test_importing_the_dataset_needs_neither_torch_nor_fsspec() -> None:
    program = (
        "import sys, s3archivefs.dataset; print({'torch', 'numpy', 'fsspec'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"set()\n"
