"""The `upload` subcommand: an image, or a directory that is packed first, becomes an object of S3.

The `s3archivefs` command loads this module whenever it runs, so whatever costs time to import is
imported by the function that needs it.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.errors import UsageError, made_client, require
from s3archivefs_lambda.store.shell_words import shell_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from s3archivefs_lambda.upload.errors import UploadError
    from s3archivefs_lambda.upload.target import UploadTarget
    from s3archivefs_lambda.upload.upload import ImageUpload

__all__ = ["register_upload"]


def register_upload(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `upload` to the subcommands of the `s3archivefs` command."""
    parser = commands.add_parser(
        "upload",
        help="store an image, or a directory as an image, in S3",
        description="Store a squashfs image in S3, or pack a directory into one and store that. "
        "Nothing that is there is replaced without --force.",
        epilog="An upload of an image that was interrupted leaves its parts in S3: the same "
        "command goes on from there, --abort deletes them. Where S3 is, and who asks it, are the "
        "standard AWS settings.",
    )
    parser.add_argument(
        "source", nargs="?", help="an image, or a directory, which is packed with mksquashfs first"
    )
    parser.add_argument("url", help="where to: s3://bucket/key")
    parser.add_argument("--force", action="store_true", help="replace an object that is there")
    parser.add_argument(
        "--storage-class",
        default="",
        metavar="CLASS",
        help="such as STANDARD_IA, INTELLIGENT_TIERING (or INT) or GLACIER_IR (or GIR); reading "
        "needs one with immediate access (default: S3ARCHIVEFS_STORAGE_CLASS, else STANDARD)",
    )
    parser.add_argument(
        "--part-size",
        default="",
        metavar="BYTES",
        help="bytes in each part of the upload, 5 MiB at least; larger ones are sent where there "
        "would be more than 10,000 (default: S3ARCHIVEFS_MPU_CHUNK_SIZE, else 16 MiB)",
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="look at the image's superblock and tables only. By default all of it is read first, "
        "at 100 MB/s or more: damage is better found now than by whoever reads the file",
    )
    parser.add_argument(
        "--image",
        dest="keep",
        metavar="PATH",
        help="of a directory: keep the packed image here, so that an interrupted upload can go on",
    )
    parser.add_argument(
        "--abort",
        action="store_true",
        help="delete the parts of all unfinished uploads to this key, and upload nothing",
    )
    parser.set_defaults(run=_upload)


def _upload(options: argparse.Namespace) -> int:
    from s3archivefs_lambda.upload.errors import UploadError
    from s3archivefs_lambda.upload.packing import PackingError

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C: clean up
    try:
        _run(options)
    except UsageError as error:
        return error.report()
    except (PackingError, UploadError) as error:
        sys.stderr.write(f"s3archivefs: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    if (options.source is None) != options.abort:
        raise UsageError("give what to upload and where to, or --abort and where from")
    require("botocore", extra="lambda", what="upload")
    if options.abort:
        _abort(_target(options.url))
        return
    _heed_environment(options)
    if Path(options.source).is_dir():
        _upload_directory(Path(options.source), options)
    else:
        _upload_image(Path(options.source), options)


def _heed_environment(options: argparse.Namespace) -> None:
    """Fill in the options that are not given, and check them before the time that packing takes."""
    from s3archivefs_lambda.commands.upload_settings import part_bytes, storage_class
    from s3archivefs_lambda.config.errors import SettingError

    options.storage_class = storage_class(options.storage_class, os.environ)
    try:
        options.part_size = part_bytes(options.part_size, os.environ)
    except SettingError as error:
        raise UsageError(str(error)) from error


def _upload_image(path: Path, options: argparse.Namespace) -> None:
    if options.keep:
        raise UsageError(f"--image keeps what a directory is packed into; {path} is none")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path}: is neither a file nor a directory")
    target = _target(options.url, path.name)
    with path.open("rb") as file:
        upload = _upload_of(file, target, options)
        _check(path, file, may_verify=not options.no_verify)
        target.require_bucket()  # before the time that verifying takes
        if not upload.is_stored() and not options.no_verify:
            _verify(path, file)
        with _parts_named(upload, path, options):
            _send(upload)


def _upload_directory(directory: Path, options: argparse.Namespace) -> None:
    if options.keep and Path(options.keep).exists():
        raise UsageError(f"--image {options.keep}: is there already; upload it, or choose another")
    target = _target(options.url, f"{directory.resolve().name or 'root'}.sqfs")
    target.require_bucket()  # before the time that packing takes
    if not options.force:
        target.refuse_existing()
    with _packed(directory, options.keep) as path, path.open("rb") as file:
        upload = _upload_of(file, target, options)
        with _parts_named(upload, path, options) if options.keep else _parts_deleted(upload):
            _send(upload)


def _target(url: str, name: str = "") -> UploadTarget:
    """Where to; `name` is that of the object where `url` ends in a slash."""
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.location import parse_location
    from s3archivefs_lambda.store.client import make_upload_client
    from s3archivefs_lambda.upload.target import UploadTarget
    from s3archivefs_lambda.upload.upload import THREADS

    try:
        location = parse_location(url + name if url.endswith("/") else url)
    except SettingError as error:
        raise UsageError(f"{url}: {error}") from error
    if location.scheme != "s3":
        raise UsageError(f"{url}: write s3://bucket/key")
    client = made_client(lambda: make_upload_client(threads=THREADS))
    return UploadTarget(client, location.bucket, location.key)


# ---- The image -----------------------------------------------------------------------------------


@contextmanager
def _packed(directory: Path, keep: str | None) -> Iterator[Path]:
    """The directory as an image, which is deleted in the end where nobody wants to `keep` it."""
    from s3archivefs_lambda.upload.packing import pack

    with TemporaryDirectory(prefix="s3archivefs-") as temporary:
        path = Path(keep or Path(temporary, "image.sqfs"))
        sys.stderr.write(f"Packing {directory}\n")
        pack(directory, path, progress=sys.stdout.isatty())
        yield path


def _check(path: Path, file: BinaryIO, *, may_verify: bool) -> None:
    """Refuse at a glance what is no squashfs image, or not all of one."""
    import s3archivefs

    try:
        with s3archivefs.open(file) as image:
            for _ in image.scandir("/"):
                break
    except s3archivefs.CodecUnavailableError as error:
        if may_verify:
            raise _refusal(path, f"cannot be verified: {error}, or give --no-verify") from error
        sys.stderr.write(f"s3archivefs: {path}: only its superblock was looked at: {error}\n")
    except s3archivefs.SquashfsError as error:
        raise _refusal(path, error) from error


def _verify(path: Path, file: BinaryIO) -> None:
    """Refuse an image of which something cannot be read."""
    import s3archivefs

    sys.stderr.write(f"Verifying {path}\n")
    try:
        with s3archivefs.open(file) as image:
            problem = next(image.verify(), None)
    except s3archivefs.SquashfsError as error:
        raise _refusal(path, error) from error
    if problem is not None:
        raise _refusal(path, problem)


def _refusal(path: Path, reason: object) -> UploadError:
    from s3archivefs_lambda.upload.errors import UploadError

    return UploadError(f"{path}: {reason}; nothing was uploaded")


# ---- The upload ----------------------------------------------------------------------------------


def _upload_of(image: BinaryIO, target: UploadTarget, options: argparse.Namespace) -> ImageUpload:
    from s3archivefs_lambda.upload.upload import ImageUpload

    upload = ImageUpload(
        target,
        image,
        storage_class=options.storage_class,
        part_bytes=options.part_size,
        replace=options.force,
    )
    if options.part_size and upload.part_size > options.part_size:
        sys.stderr.write(
            f"s3archivefs: parts of {options.part_size:,} bytes would be more than S3 takes; "
            f"{upload.part_size:,} bytes are sent in each\n"
        )
    return upload


def _send(upload: ImageUpload) -> None:
    """Store the image, and say so."""
    from s3archivefs_lambda.upload.errors import UploadError

    with _progress(upload.size) as upload.progress:
        stored = upload.run()
    how = "stored" if stored else "stored already"
    sys.stdout.write(f"{upload.target}: {upload.size:,} bytes {how}\n")
    others = 0
    with suppress(UploadError):  # the image is stored
        others = len(upload.unfinished())
    if others:
        sys.stderr.write(
            f"s3archivefs: unfinished uploads to it keep parts in S3 ({others} of them); if they "
            f"are nobody's, delete them: {_abort_command(upload.target)}\n"
        )


@contextmanager
def _parts_named(upload: ImageUpload, image: Path, options: argparse.Namespace) -> Iterator[None]:
    """Say after a failure how to go on from the parts that are in S3."""
    try:
        yield
    except BaseException:
        if upload.upload_id:
            command = ["s3archivefs", "upload", str(image), _url(upload.target)]
            command += ["--force"] if options.force else []
            command += ["--no-verify"] if options.no_verify else []
            command += ["--storage-class", options.storage_class] if options.storage_class else []
            command += ["--part-size", str(options.part_size)] if options.part_size else []
            sys.stderr.write(
                "s3archivefs: what was sent is kept in S3; "
                f"to go on: {shell_command(command)}; "
                f"to delete it: {_abort_command(upload.target)}\n"
            )
        raise


@contextmanager
def _parts_deleted(upload: ImageUpload) -> Iterator[None]:
    """Leave nothing in S3 after a failure: the image will be gone."""
    from s3archivefs_lambda.upload.errors import UploadError

    try:
        yield
    except BaseException:
        try:
            upload.abort()
        except UploadError as error:
            sys.stderr.write(
                f"s3archivefs: what was sent is still in S3 ({error}); "
                f"to delete it: {_abort_command(upload.target)}\n"
            )
        raise


def _abort_command(target: UploadTarget) -> str:
    return shell_command(["s3archivefs", "upload", "--abort", _url(target)])


def _url(target: UploadTarget) -> str:
    """The URL as it was given: what a message shows of it may be escaped."""
    return f"s3://{target.bucket}/{target.key}"


def _abort(target: UploadTarget) -> None:
    count = target.abort_all()
    uploads = "upload" if count == 1 else "uploads"
    sys.stdout.write(f"{target}: {count} unfinished {uploads} deleted\n")


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, where rich is installed; yields what to tell bytes sent."""
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=size)
        yield lambda count: progress.update(task, advance=count)
