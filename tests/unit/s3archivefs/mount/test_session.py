"""A session answers as the kernel expects, message by message."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3archivefs
from fixtures.tree import Node, device, directory, file, symlink
from s3archivefs import BytesDevice, SquashFS
from s3archivefs.mount.faults import Faults
from s3archivefs.mount.operations import ROOT_NODE, Operations
from s3archivefs.mount.session import Session
from tests.support.images import built
from tests.support.images.fixtures import FIXTURES, make_image, open_fixture
from tests.support.mount import kernel as fuse
from tests.support.mount.kernel import Kernel, KernelError, kernel_over

TREE = (
    directory("docs", mode=0o1750, uid=1000, gid=100, mtime=1_500_000_000),
    *(file(f"docs/{'n' * (number % 60)}{number:03}", b"x" * number) for number in range(300)),
    file("-\udcff\n", b"odd\n", mode=0o4755),
    file("big.bin", bytes(range(256)) * 256 + b"tail"),
    file("marked", b"", xattrs={"user.kind": b"odd\0value", "trusted.key": b"root's"}),
    device("null", "char_device", 1, 3),
    symlink("link", "docs/\u65e5\u672c"),
)
NO_OPEN = 1 << 17 | 1 << 24


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("session"), TREE)


@pytest.fixture
def fs(image: Path) -> Iterator[SquashFS]:
    with s3archivefs.open(image) as fs:
        yield fs


@pytest.fixture
def kernel(fs: SquashFS) -> Iterator[Kernel]:
    with kernel_over({b"": fs}) as kernel:
        yield kernel


def refusal(call: object, *arguments: object) -> int:
    """The error number that a call is refused with."""
    assert callable(call)
    with pytest.raises(KernelError) as raised:
        call(*arguments)
    return raised.value.errno or 0


def test_only_what_a_reader_needs_is_agreed_on(kernel: Kernel) -> None:
    read_only = {0, 4, 13, 15, 17, 18, 22, 23}  # numbers of linux/fuse.h's flags
    assert {bit for bit in range(32) if kernel.features >> bit & 1} == read_only


def test_nothing_is_agreed_on_that_a_kernel_does_not_offer(fs: SquashFS) -> None:
    with kernel_over({b"": fs}, offered=1 << 13) as kernel:
        assert kernel.features == 1 << 13


def test_a_kernel_too_old_is_refused(fs: SquashFS) -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        kernel = Kernel(ours)
        kernel.send(fuse.INIT, 0, struct.pack("=IIII", 7, 12, 1 << 17, 0))
        session = Session(Operations({b"": fs}), its.fileno(), Faults(print))
        with pytest.raises(OSError, match=r"FUSE 7\.12 is too old") as raised:
            session.negotiate()
        assert raised.value.errno == errno.EPROTO
        assert refusal(kernel.receive) == errno.EPROTO


def test_a_newer_major_version_is_answered_with_the_spoken_one(fs: SquashFS) -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        kernel = Kernel(ours)
        kernel.send(fuse.INIT, 0, struct.pack("=IIII", 8, 0, 1 << 17, 0))
        kernel.send(fuse.INIT, 0, struct.pack("=IIII", 7, 99, 1 << 17, 0))
        Session(Operations({b"": fs}), its.fileno(), Faults(print)).negotiate()
        for _ in range(2):
            assert struct.unpack_from("=I", kernel.receive()[1]) == (7,)


def check(attributes: fuse.Attributes, expected: s3archivefs.Stat) -> None:
    assert attributes == fuse.Attributes(
        ino=expected.inode_number,
        size=expected.size,
        blocks=-(-expected.size // 512),
        atime=expected.mtime,
        mtime=expected.mtime,
        ctime=expected.mtime,
        atimensec=0,
        mtimensec=0,
        ctimensec=0,
        mode=expected.mode,
        nlink=expected.nlink,
        uid=expected.uid,
        gid=expected.gid,
        rdev=expected.rdev,
        blksize=0,
        flags=0,
    )


def test_names_and_attributes_are_those_of_the_image(kernel: Kernel, fs: SquashFS) -> None:
    check(kernel.attributes(ROOT_NODE), fs.stat("/"))
    for node in TREE:
        path = os.fsencode(node.path)
        found = kernel.look_up(ROOT_NODE, path.split(b"/")[0])
        for name in path.split(b"/")[1:]:
            assert found is not None
            found = kernel.look_up(found[0], name)
        assert found is not None
        expected = fs.stat(path, follow_symlinks=False)
        check(found[1], expected)
        check(kernel.attributes(found[0]), expected)


@pytest.mark.parametrize(("claimed", "sectors"), [(8192, 16), (0, 32), (16385, 0), (1 << 60, 0)])
def test_holes_take_no_blocks(claimed: int, sectors: int) -> None:
    content = bytes(8192) + b"x" * 8192
    tree = built.directory({b"f": built.file(content, extended=True, sparse=claimed)})
    image = bytes(built.build(tree))
    with s3archivefs.open(BytesDevice(image)) as fs, kernel_over({b"": fs}) as kernel:
        found = kernel.look_up(ROOT_NODE, b"f")
        assert found is not None
        assert found[1].blocks == sectors
        assert kernel.attributes(found[0]) == found[1]
        assert kernel.all_names(ROOT_NODE)[2].attributes == found[1]


def test_a_node_from_outside_is_checked(kernel: Kernel) -> None:
    docs, big = kernel.look_up(ROOT_NODE, b"docs"), kernel.look_up(ROOT_NODE, b"big.bin")
    assert docs is not None
    assert big is not None
    assert kernel.look_up(docs[0], b".") == docs
    assert kernel.look_up(big[0], b".") == big
    above = kernel.look_up(docs[0], b"..")
    assert above == (ROOT_NODE, kernel.attributes(ROOT_NODE))
    for forged in (docs[0] + 1, docs[0] ^ 1 << 40):
        assert refusal(kernel.look_up, forged, b".") in {errno.ENOENT, errno.EIO}


def test_several_archives_take_no_nodes_from_outside(fs: SquashFS) -> None:
    with kernel_over({b"a": fs}) as kernel:
        assert not kernel.features >> 4 & 1
        found = kernel.look_up(ROOT_NODE, b"a")
        assert found is not None
        assert kernel.look_up(found[0], b".") is None


def test_a_name_that_is_not_there_stays_away(kernel: Kernel) -> None:
    assert kernel.look_up(ROOT_NODE, b"missing") is None


@pytest.mark.parametrize("room", [200, 4096, 1 << 20])
@pytest.mark.parametrize("plus", [True, False])
def test_a_directory_is_listed_whole_whatever_the_room(
    kernel: Kernel, fs: SquashFS, room: int, *, plus: bool
) -> None:
    found = kernel.look_up(ROOT_NODE, b"docs")
    assert found is not None
    names = kernel.all_names(found[0], 400 if plus and room < 400 else room, plus=plus)
    assert [each.name for each in names[:2]] == [b".", b".."]
    assert {each.ino for each in names[:1]} == {found[1].ino}
    expected = [*fs.scandir_stats(b"/docs")]
    assert [each.name for each in names[2:]] == [name for name, _ in expected]
    for each, (name, attributes) in zip(names[2:], expected, strict=True):
        assert each.ino == attributes.inode_number
        assert each.type == stat.S_IFMT(attributes.mode) >> 12
        if plus:
            assert each.attributes is not None
            check(each.attributes, attributes)
            assert (each.node, each.attributes) == kernel.look_up(found[0], name)


def test_a_directory_is_listed_from_where_a_program_seeks_to(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"docs")
    assert found is not None
    every = kernel.all_names(found[0])
    for at in (250, 3, 0, 170, 0):
        assert kernel.names_plus(found[0], every[at].offset, 700)[0] == every[at + 1]
    assert kernel.names_plus(found[0], every[-1].offset, 4096) == []
    assert kernel.names_plus(found[0], 1 << 60, 4096) == []


def test_many_listings_between_two_requests_lose_nothing(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"docs")
    assert found is not None
    every = kernel.all_names(found[0])
    for each in every[:-2]:  # far more than are kept
        following = kernel.names_plus(found[0], each.offset, 400)
        assert following == every[every.index(each) + 1 :][: len(following)]


@pytest.fixture(scope="module")
def walk() -> Iterator[Kernel]:
    """A kernel over ten directories, each with a directory, a link and two files."""
    members = {b"f": built.file(b"x"), b"g": built.file(b"y"), b"l": built.symlink(b"f")}
    tree = built.directory(
        {
            b"%d" % number: built.directory({b"d": built.directory({}), **members})
            for number in range(10)
        }
    )
    with (
        s3archivefs.open(BytesDevice(bytes(built.build(tree)))) as fs,
        kernel_over({b"": fs}) as kernel,
    ):
        yield kernel


def nodes_below(kernel: Kernel) -> list[int]:
    return [each.node for each in kernel.all_names(ROOT_NODE)[2:]]


def with_attributes(names: list[fuse.Name]) -> set[bytes]:
    return {each.name for each in names if each.attributes is not None}


def test_a_caller_that_looks_up_nothing_left_out_gets_names_alone(walk: Kernel) -> None:
    first, *_, last = nodes = nodes_below(walk)
    for node in nodes[:4]:
        names = walk.walked(node, caller=10)
        assert [each.name for each in names] == [b".", b"..", b"d", b"f", b"g", b"l"]
        assert with_attributes(names) == {b"d", b"g", b"l"}
    for node in nodes[4:]:
        assert walk.open_directory(node, 10) == (2, False)  # a listing that is not for others
        names = walk.walked(node, caller=10)
        assert [each.name for each in names] == [b".", b"..", b"d", b"f", b"g", b"l"]
        assert with_attributes(names) == {b"d"}
    assert walk.look_up(last, b"d")  # as who walks a tree may do
    assert with_attributes(walk.walked(first, caller=10)) == {b"d"}
    assert walk.look_up(last, b"f")
    assert with_attributes(walk.walked(first, caller=10)) == {b"d", b"f", b"g", b"l"}


def test_a_caller_that_looks_up_what_is_left_out_gets_attributes(walk: Kernel) -> None:
    nodes = nodes_below(walk)
    left_out = 0
    for node in nodes * 20:
        names = walk.walked(node, caller=11)
        if b"f" not in with_attributes(names):
            left_out += 1
            assert walk.look_up(node, b"f")
        assert with_attributes(names) >= {b"d", b"g", b"l"}
    assert 3 <= left_out <= 9  # of 200


def test_callers_are_known_apart(walk: Kernel) -> None:
    nodes = nodes_below(walk)
    for node in nodes:
        walk.walked(node, caller=12)
    for caller in range(1000, 1300):  # more than are remembered
        assert b"g" in with_attributes(walk.walked(nodes[0], caller))
    assert b"g" in with_attributes(walk.walked(nodes[0], caller=12))


def test_directories_of_no_files_tell_nothing_of_who_lists_them(walk: Kernel) -> None:
    above = nodes_below(walk)
    below = {each.name: each.node for each in walk.all_names(above[0])}
    for _ in range(20):
        walk.walked(below[b"d"], caller=13)
    assert with_attributes(walk.walked(above[0], caller=13)) == {b"d", b"g", b"l"}


def test_files_are_read_at_any_offset(kernel: Kernel, fs: SquashFS) -> None:
    found = kernel.look_up(ROOT_NODE, b"big.bin")
    assert found is not None
    content = fs.read_bytes("/big.bin")
    for start, size in ((0, 4096), (4000, 9000), (65000, 4096), (65536, 4), (0, 1 << 20)):
        assert kernel.read(found[0], start, size) == content[start : start + size]
    assert kernel.read(found[0], len(content), 4096) == b""


def test_links_lead_where_they_say(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"link")
    assert found is not None
    assert kernel.ask(fuse.READLINK, found[0]) == "docs/\u65e5\u672c".encode()


def test_a_target_that_fits_no_page_is_refused() -> None:
    tree = built.directory({b"a": built.symlink(b"x" * 4095), b"b": built.symlink(b"x" * 4096)})
    image = bytes(built.build(tree))
    with s3archivefs.open(BytesDevice(image)) as fs, kernel_over({b"": fs}) as kernel:
        fits, long = (kernel.look_up(ROOT_NODE, name) for name in (b"a", b"b"))
        assert long is not None
        assert fits is not None
        assert refusal(kernel.ask, fuse.READLINK, long[0]) == errno.ENAMETOOLONG
        assert kernel.ask(fuse.READLINK, fits[0]) == b"x" * 4095


def test_attributes_come_by_size_first_and_as_far_as_there_is_room(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"marked")
    assert found is not None
    node = found[0]
    assert kernel.xattr(node, b"user.kind", 0) == struct.pack("=II", 9, 0)
    assert kernel.xattr(node, b"user.kind", 9) == b"odd\0value"
    assert refusal(kernel.xattr, node, b"user.kind", 8) == errno.ERANGE
    assert refusal(kernel.xattr, node, b"user.none", 100) == errno.ENODATA
    both = {b"user.kind", b"trusted.key", b""}
    assert {*kernel.xattrs(node, 100).split(b"\0")} == both
    assert kernel.xattrs(node, 0) == struct.pack("=II", len(b"user.kind.trusted.key."), 0)
    assert refusal(kernel.xattrs, node, 5) == errno.ERANGE


def test_trusted_attributes_are_for_root(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"marked")
    assert found is not None
    assert kernel.xattrs(found[0], 100, uid=1000) == b"user.kind\0"


def test_an_image_without_attributes_is_asked_for_none_again() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs, kernel_over({b"": fs}) as kernel:
        assert refusal(kernel.xattr, ROOT_NODE, b"user.kind", 0) == errno.ENOSYS
        assert refusal(kernel.xattrs, ROOT_NODE, 0) == errno.ENOSYS


def test_the_file_system_tells_its_size(kernel: Kernel, fs: SquashFS) -> None:
    fields = struct.unpack("=QQQQQIIII24x", kernel.ask(fuse.STATFS, ROOT_NODE))
    blocks = -(-fs.superblock.bytes_used // 4096)
    assert fields == (blocks, 0, 0, fs.superblock.inode_count, 0, 4096, 256, 4096, 0)


def test_a_local_image_is_read_without_opening(kernel: Kernel) -> None:
    assert refusal(kernel.open, ROOT_NODE) == errno.ENOSYS


def test_an_old_kernel_opens_all_the_same(fs: SquashFS) -> None:
    with kernel_over({b"": fs}, offered=0xFFFF_FFFF & ~NO_OPEN) as kernel:
        found = kernel.look_up(ROOT_NODE, b"big.bin")
        assert found is not None
        assert kernel.open(found[0]) == 0
        kernel.ask(fuse.RELEASE, found[0], bytes(24))


def test_what_is_unknown_or_writes_is_not_implemented(kernel: Kernel) -> None:
    for opcode in (4, 6, 8, 9, 10, 12, 16, 25, 34, 35, 39, 46, 52, 4095):
        assert refusal(kernel.ask, opcode, ROOT_NODE, bytes(64)) == errno.ENOSYS


def test_forgotten_nodes_are_not_answered_and_stay_known(kernel: Kernel) -> None:
    found = kernel.look_up(ROOT_NODE, b"big.bin")
    assert found is not None
    kernel.send(fuse.FORGET, found[0], struct.pack("=Q", 1))
    kernel.send(fuse.BATCH_FORGET, 0, struct.pack("=IIQQ", 1, 0, found[0], 1))
    kernel.send(fuse.INTERRUPT, 0, struct.pack("=Q", 2))
    assert kernel.attributes(found[0]) == found[1]


def test_several_archives_are_one_tree(fs: SquashFS) -> None:
    with (
        open_fixture(FIXTURES["gzip"]) as other,
        kernel_over({b"a": fs, b"b": other}) as kernel,
    ):
        assert [each.name for each in kernel.all_names(ROOT_NODE)] == [b".", b"..", b"a", b"b"]
        found = kernel.look_up(ROOT_NODE, b"b")
        assert found is not None
        names = [each.name.decode() for each in kernel.all_names(found[0])]
        assert names[2:] == other.listdir("/")


# ---- faults --------------------------------------------------------------------------------------


def test_damage_is_an_input_output_error_and_a_line(image: Path) -> None:
    lines: list[str] = []
    data = bytearray(image.read_bytes())
    with s3archivefs.open(BytesDevice(bytes(data))) as fs:
        at = fs.superblock.inode_table_start
    data[96:at] = bytes(at - 96)  # all contents
    with (
        s3archivefs.open(BytesDevice(bytes(data))) as fs,
        kernel_over({b"": fs}, lines) as kernel,
    ):
        found = kernel.look_up(ROOT_NODE, b"big.bin")
        assert found is not None
        for _ in range(3):
            assert refusal(kernel.read, found[0], 0, 4096) == errno.EIO
        assert kernel.attributes(found[0]) == found[1]  # it goes on
    (line,) = lines
    assert "inode at" in line


def test_a_listing_gives_what_is_sound_before_it_fails(tmp_path: Path) -> None:
    lines: list[str] = []
    names: tuple[Node, ...] = tuple(file(f"{'n' * 200}{number:04}", b"") for number in range(400))
    image = bytearray(make_image(tmp_path, names, "-noI", "-noId").read_bytes())
    at = image.rindex(b"n" * 200 + b"0390")
    image[at : at + 1] = b"/"  # a name that could lead elsewhere
    last = 389
    with (
        s3archivefs.open(BytesDevice(bytes(image))) as fs,
        kernel_over({b"": fs}, lines) as kernel,
    ):
        found = kernel.names(ROOT_NODE, 0, 4096)
        while found[-1].name[:200] != b"n" * 200 or int(found[-1].name[200:]) < last:
            found += kernel.names(ROOT_NODE, found[-1].offset, 4096)
        assert refusal(kernel.names, ROOT_NODE, found[-1].offset, 4096) == errno.EIO
        assert len(found) > 300
    assert len(lines) == 1


@pytest.mark.parametrize("delta", [0, -1])
@pytest.mark.parametrize("plus", [True, False])
def test_a_name_whose_entry_has_no_sound_number_is_listed(delta: int, *, plus: bool) -> None:
    hostile = built.Link(built.file(b"x"), {"number": 0, "delta": delta})
    tree = built.directory({b"hostile": hostile, b"sound": built.file(b"y")})
    image = bytes(built.build(tree))
    with s3archivefs.open(BytesDevice(image)) as fs, kernel_over({b"": fs}) as kernel:
        names = kernel.all_names(ROOT_NODE, plus=plus)
        assert [each.name for each in names[2:]] == [b"hostile", b"sound"]
        assert all(each.ino for each in names)  # programs skip those with 0


# ---- distant devices -----------------------------------------------------------------------------


class SlowDevice(BytesDevice):
    """A device with readahead whose reads wait for a word, once it is slow."""

    pread_at_hand = None  # type: ignore[assignment]  # nothing is at hand

    def __init__(self, image: bytes) -> None:
        super().__init__(image)
        self.is_damaged = False
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Semaphore(0)

    def pread(self, offset: int, length: int) -> bytes:
        if not self.go.is_set():
            self.begun.release()
            self.go.wait()
        return bytes(length) if self.is_damaged else super().pread(offset, length)

    def readahead(self, offset: int, length: int) -> Handle:
        return Handle(self)


class Handle:
    """Readahead that fetches nothing ahead."""

    def __init__(self, device: SlowDevice) -> None:
        self.size = device.size
        self.pread = device.pread

    def will_read(self, offset: int, length: int) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def slow(image: Path) -> Iterator[SlowDevice]:
    device = SlowDevice(image.read_bytes())
    yield device
    device.go.set()


def test_a_slow_read_holds_no_other_request(slow: SlowDevice) -> None:
    with s3archivefs.open(slow) as fs, kernel_over({b"": fs}) as kernel:
        found = kernel.look_up(ROOT_NODE, b"big.bin")
        assert found is not None
        handle = kernel.open(found[0])
        slow.go.clear()
        waiting = kernel.send(fuse.READ, found[0], struct.pack("=QQI20x", handle, 0, 4096))
        slow.begun.acquire()
        assert kernel.attributes(ROOT_NODE).ino  # while the read waits
        slow.go.set()
        assert kernel.receive() == (waiting, bytes(range(256)) * 16)
        kernel.ask(fuse.RELEASE, found[0], struct.pack("=Q16x", handle))


def read_of(handle: int, start: int, size: int = 4096) -> bytes:
    return struct.pack("=QQI20x", handle, start, size)


def test_reads_of_a_stalled_archive_hold_none_of_another(slow: SlowDevice, image: Path) -> None:
    other = SlowDevice(image.read_bytes())
    with (
        s3archivefs.open(slow) as stalled,
        s3archivefs.open(other) as sound,
        kernel_over({b"a": stalled, b"b": sound}) as kernel,
    ):
        nodes = []
        for top in (b"a", b"b"):
            above = kernel.look_up(ROOT_NODE, top)
            assert above is not None
            found = kernel.look_up(above[0], b"big.bin")
            assert found is not None
            nodes.append(found[0])
        handle, sound_handle = map(kernel.open, nodes)
        slow.go.clear()
        waiting = {kernel.send(fuse.READ, nodes[0], read_of(handle, 0)) for _ in range(40)}
        waiting |= {kernel.send(fuse.READ, nodes[0], read_of(0, 0)) for _ in range(40)}
        slow.begun.acquire()
        assert kernel.read(nodes[1], 0, 4096, sound_handle) == bytes(range(256)) * 16
        slow.go.set()
        assert {kernel.receive()[0] for _ in waiting} == waiting


def test_reads_in_no_sequence_wait_for_no_other_of_their_handle() -> None:
    tree = built.directory({b"long": built.file(b"0123456789abcdef" * (1 << 18))})
    device = SlowDevice(bytes(built.build(tree)))
    with s3archivefs.open(device) as fs, kernel_over({b"": fs}) as kernel:
        found = kernel.look_up(ROOT_NODE, b"long")
        assert found is not None
        handle = kernel.open(found[0])
        device.go.clear()
        starts = (0, 3 << 20, 1 << 20)
        waiting = {kernel.send(fuse.READ, found[0], read_of(handle, start)) for start in starts}
        for _ in waiting:
            device.begun.acquire()  # all of them, before any is done
        device.go.set()
        assert {kernel.receive()[0] for _ in waiting} == waiting


def test_an_interrupted_read_is_answered_at_once_and_once(slow: SlowDevice) -> None:
    with s3archivefs.open(slow) as fs, kernel_over({b"": fs}) as kernel:
        found = kernel.look_up(ROOT_NODE, b"big.bin")
        assert found is not None
        handle = kernel.open(found[0])
        slow.go.clear()
        waiting = kernel.send(fuse.READ, found[0], struct.pack("=QQI20x", handle, 0, 4096))
        slow.begun.acquire()
        kernel.send(fuse.INTERRUPT, 0, struct.pack("=Q", waiting))
        with pytest.raises(KernelError, match=f"request {waiting}") as raised:
            kernel.receive()
        assert raised.value.errno == errno.EINTR
        slow.go.set()
        assert kernel.read(found[0], 0, 256, handle) == bytes(range(256))


def is_open(kernel: Kernel, node: int, handle: int) -> bool:
    """Whether a handle can be read by."""
    try:
        return bool(kernel.read(node, 0, 256, handle))
    except KernelError:
        return False


def test_what_an_interrupted_request_opens_is_closed(slow: SlowDevice) -> None:
    with s3archivefs.open(slow) as fs:
        node = 1 << 48 | fs.stat("/big.bin").reference
    lines: list[str] = []
    with s3archivefs.open(slow) as fs, kernel_over({b"": fs}, lines) as kernel:
        slow.go.clear()
        waiting = kernel.send(fuse.OPEN, node, bytes(8))
        slow.begun.acquire()
        kernel.send(fuse.INTERRUPT, 0, struct.pack("=Q", waiting))
        with pytest.raises(KernelError, match=f"request {waiting}"):
            kernel.receive()
        slow.go.set()
        others = {*range(1, 10)} - {kernel.open(node)}
        while any(is_open(kernel, node, handle) for handle in others):
            pass  # until the other thread is done with it
    assert "KeyError" in lines[0]


def test_a_fault_in_another_thread_is_told_too(slow: SlowDevice) -> None:
    lines: list[str] = []
    with s3archivefs.open(slow) as fs, kernel_over({b"": fs}, lines) as kernel:
        found = kernel.look_up(ROOT_NODE, b"big.bin")
        assert found is not None
        handle = kernel.open(found[0])
        slow.is_damaged = True
        assert refusal(kernel.read, found[0], 0, 4096, handle) == errno.EIO
    assert len(lines) == 1
