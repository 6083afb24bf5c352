"""A mount from its beginning to its end, in the foreground or background."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from s3archivefs.mount.faults import Faults, unfailing
from s3archivefs.mount.following import Follower
from s3archivefs.mount.mounting import (
    MountError,
    is_dead,
    mount,
    mounted_at,
    place_of,
    read_further_ahead,
    unmount,
)
from s3archivefs.mount.operations import Operations
from s3archivefs.mount.options import FILESYSTEM
from s3archivefs.mount.session import Session
from s3archivefs.mount.watcher import (
    further_descriptors,
    occupy_standard_descriptors,
    redirect_to_nowhere,
    start_watcher,
)
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from s3archivefs.image import SquashFS
    from s3archivefs.mount.options import MountOptions

__all__ = ["Archives", "mount_in_background", "mount_in_foreground"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 2.0
"""Until the process ends after a signal, though programs still use the tree."""
_LIVE = b"+"


class Archives(NamedTuple):
    """What to mount."""

    sources: Mapping[bytes, str]
    """Paths or URLs of images, by paths in the tree, of which `b""` is all."""
    open_image: Callable[[str], SquashFS]
    """Opens one."""


class _Waiter(NamedTuple):
    """Who waits for the tree."""

    check: Callable[[], object]
    """Called before the tree is shown; raises MountError if nobody waits any more."""
    live: Callable[[], object]
    """Called when it is there."""


class _EndedError(Exception):
    """A signal asks for the end."""


def mount_in_foreground(
    archives: Archives,
    directory: str,
    options: MountOptions,
    report: Callable[[str], object],
) -> None:
    """Mount archives, and return when the tree is unmounted.

    SIGINT, SIGTERM and SIGHUP unmount it. `report` is called with each fault, as one line. Raises
    MountError, ValueError where paths collide, and what opening an image raises.
    """
    occupy_standard_descriptors()
    _serve(archives, directory, options, report, _Waiter(lambda: None, lambda: None))


def mount_in_background(
    archives: Archives,
    directory: str,
    options: MountOptions,
    explain: Callable[[Exception], int],
) -> int:
    """Mount archives in a process of its own; return 0 once the tree is there.

    Where it cannot be mounted, `explain` is called in that process with what
    `mount_in_foreground` raises; return the exit code that it returns. Faults later on go to the
    system's log.
    """
    occupy_standard_descriptors()
    begun, beginning = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover -- in a process of its own, which nothing measures
        os.close(begun)
        _become_background(archives, directory, options, explain, beginning)
    os.close(beginning)
    with _passing_ends_on(child), os.fdopen(begun, "rb") as lines:
        is_live = lines.read(1) == _LIVE
    return 0 if is_live else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def _passing_ends_on(child: int) -> Iterator[None]:
    """End a process of another session too, where a signal ends the block."""

    def end(number: int, _frame: FrameType | None) -> None:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except BaseException:  # Ctrl-C
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _become_background(
    archives: Archives,
    directory: str,
    options: MountOptions,
    explain: Callable[[Exception], int],
    beginning: int,
) -> NoReturn:  # pragma: no cover -- as above
    import syslog  # noqa: PLC0415 -- for this alone

    def check() -> None:
        poll = select.poll()
        poll.register(beginning, select.POLLERR)
        if poll.poll(0):
            raise MountError("nobody waits for the mount any more")

    def live() -> None:
        os.chdir("/")
        redirect_to_nowhere()
        for each in inherited:  # a lock of who started the command, say
            os.close(each)
        os.write(beginning, _LIVE)
        os.close(beginning)

    code = 1
    try:
        inherited = further_descriptors() - {beginning}
        os.setsid()
        syslog.openlog("s3archivefs", syslog.LOG_PID, syslog.LOG_DAEMON)
        _serve(archives, directory, options, syslog.syslog, _Waiter(check, live))
        code = 0
    except Exception as error:  # noqa: BLE001 -- nothing above may see it: it is another process
        code = explain(error)
    finally:
        os._exit(code)


def _serve(
    archives: Archives,
    directory: str,
    options: MountOptions,
    report: Callable[[str], object],
    waiter: _Waiter,
) -> None:
    directory = os.path.realpath(directory)
    report = unfailing(report)
    _clear_dead(directory)
    if options.on_change == "follow":
        _check_outside(archives.sources.values(), directory)
    with ExitStack() as ends:
        ends.callback(os.close, start_watcher(directory))
        images = {
            path: ends.enter_context(_opened(archives, source))
            for path, source in archives.sources.items()
        }
        operations = Operations(images, is_followed=options.on_change == "follow")
        # What looks at an image does so before the tree can hide it.
        follower = _follower(operations, archives, options, report)
        ends.enter_context(_ended_by_signals())
        waiter.check()
        descriptor = mount(" ".join(archives.sources.values()), directory, options)
        ends.callback(os.close, descriptor)
        mounted = mounted_at(directory)
        faults = Faults(report, on_stale=None if follower is None else follower.look)
        session = Session(operations, descriptor, faults)
        answering = threading.Thread(target=_answer, args=(session, report), daemon=True)
        try:
            session.negotiate()
            answering.start()
            read_further_ahead(mounted)
            waiter.live()
            if follower is not None:
                follower.start(session)
                ends.callback(follower.close)
            answering.join()
        finally:
            place = place_of(mounted) if mounted and not session.is_over else None
            if place is not None:
                with suppress(MountError):  # somebody else was quicker
                    unmount(place, lazily=True)
            if answering.is_alive():
                answering.join(_GRACE_SECONDS)


def _check_outside(sources: Iterable[str], directory: str) -> None:
    """Refuse to follow an image that the tree will hide.

    To open it, the process would ask itself, and wait for ever if it were killed meanwhile.
    """
    for source in sources:
        path = os.path.realpath(source)
        if "://" not in source and os.path.commonpath([path, directory]) == directory:
            raise MountError(
                f"{printed(source)} lies within {printed(directory)}, which will hide it: to follow"
                " it, mount it elsewhere"
            )


def _opened(archives: Archives, source: str) -> SquashFS:
    """Open an image, and make sure that its root can be listed."""
    image = archives.open_image(source)
    try:
        next(image.scandir("/"), None)
    except BaseException:
        image.close()
        raise
    return image


def _follower(
    operations: Operations,
    archives: Archives,
    options: MountOptions,
    report: Callable[[str], object],
) -> Follower | None:
    """Return what follows replaced archives, if that is wanted."""
    if options.on_change != "follow":
        return None
    return Follower(operations, archives.open_image, report, options.check_seconds)


def _answer(session: Session, report: Callable[[str], object]) -> None:
    """Answer the kernel until the tree is unmounted."""
    try:
        session.run()
    except Exception as error:  # noqa: BLE001 -- a thread has nobody to raise it to
        report(f"the mount ends, as the kernel cannot be answered: {error!r}")


def _clear_dead(directory: str) -> None:
    """Unmount a tree of ours whose program was killed.

    Raises MountError for one of another kind.
    """
    if not is_dead(directory):
        return
    found = mounted_at(directory)
    if found is None or found.filesystem != FILESYSTEM:
        raise MountError(
            f"{printed(directory)}: a dead filesystem is mounted there: unmount it (umount -l)"
        )
    unmount(directory, lazily=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the block when a signal asks for it; further ones are ignored meanwhile."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise _EndedError

    before = {each: signal.signal(each, end) for each in _ENDING}
    try:
        yield
    except _EndedError:
        pass
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
