"""The `upload` subcommand: an image, or a directory that is packed first, becomes an object of S3.

The `s3archivefs` command loads this module whenever it runs, so whatever costs time to import is
imported by the function that needs it.
"""

from __future__ import annotations

import importlib.util
import shlex
import signal
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from s3archivefs_lambda.usage_error import UsageError, require

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from s3archivefs_lambda.prefix_map import Location
    from s3archivefs_lambda.upload import ImageUpload

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
        help="such as STANDARD_IA or GLACIER_IR; reading needs one with immediate access "
        "(default: STANDARD)",
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="look at the image's superblock and tables only, instead of reading all of it first",
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
    from s3archivefs_lambda.packing import PackingError  # noqa: PLC0415 -- see above
    from s3archivefs_lambda.upload import UploadError  # noqa: PLC0415

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
        _abort(_location(options.url))
        return
    source = Path(options.source)
    directory = source.is_dir()
    if options.keep and not directory:
        raise UsageError(f"--image keeps what a directory is packed into; {source} is none")
    name = f"{source.resolve().name or 'root'}.sqfs" if directory else source.name
    location = _location(options.url, name)
    packed = _packed(source, options.keep) if directory else nullcontext(source)
    with packed as path, path.open("rb") as image:
        _check(path, image, whole=not (directory or options.no_verify))
        upload = _upload_of(image, location, options)
        stays = not directory or options.keep
        with _parts_named(upload, path, options) if stays else _parts_deleted(upload):
            _send(upload, location)


def _location(url: str, name: str = "") -> Location:
    """Where to; `name` is that of the object where `url` ends in a slash."""
    from s3archivefs_lambda.prefix_map import SettingError, parse_location  # noqa: PLC0415

    try:
        location = parse_location(url + name if url.endswith("/") else url)
    except SettingError as error:
        raise UsageError(f"{url}: {error}") from error
    if location.scheme != "s3":
        raise UsageError(f"{url}: write s3://bucket/key")
    return location


# ---- The image -----------------------------------------------------------------------------------


@contextmanager
def _packed(directory: Path, keep: str | None) -> Iterator[Path]:
    """The directory as an image, which is deleted in the end where nobody wants to `keep` it."""
    from s3archivefs_lambda.packing import pack  # noqa: PLC0415

    if keep and Path(keep).exists():
        raise UsageError(f"--image {keep}: is there already; upload it, or choose another")
    with TemporaryDirectory(prefix="s3archivefs-") as temporary:
        path = Path(keep or Path(temporary, "image.sqfs"))
        sys.stderr.write(f"Packing {directory}\n")
        pack(directory, path, progress=sys.stdout.isatty())
        yield path


def _check(path: Path, file: BinaryIO, *, whole: bool) -> None:
    """Refuse what is no sound image. With `whole`, all of it is read, which takes less time than
    sending it, and finds what would else be found by whoever reads the one damaged file.
    """
    import s3archivefs  # noqa: PLC0415
    from s3archivefs_lambda.upload import UploadError  # noqa: PLC0415

    try:
        with s3archivefs.open(file) as image:
            problem = None
            for _ in image.scandir("/"):
                break
            if whole:
                sys.stderr.write(f"Checking {path}\n")
                problem = next(image.verify(), None)
    except s3archivefs.SquashfsError as error:
        raise UploadError(f"{path}: {error}; nothing was uploaded") from error
    if problem is not None:
        raise UploadError(f"{path}: {problem}; nothing was uploaded")


# ---- The upload ----------------------------------------------------------------------------------


def _upload_of(image: BinaryIO, location: Location, options: argparse.Namespace) -> ImageUpload:
    from s3archivefs_lambda.s3_client import make_upload_client  # noqa: PLC0415
    from s3archivefs_lambda.upload import THREADS, ImageUpload  # noqa: PLC0415

    return ImageUpload(
        make_upload_client(threads=THREADS),
        location.bucket,
        location.key,
        image,
        storage_class=options.storage_class,
        replace=options.force,
    )


def _send(upload: ImageUpload, location: Location) -> None:
    """Store the image, and say so."""
    with _progress(upload.size) as upload.progress:
        upload.run()
    sys.stdout.write(f"{location}: {upload.size:,} bytes stored\n")
    if others := upload.unfinished():
        sys.stderr.write(
            f"s3archivefs: unfinished uploads to it keep parts in S3 ({others} of them); "
            f"if they are nobody's, delete them: s3archivefs upload --abort {location}\n"
        )


@contextmanager
def _parts_named(upload: ImageUpload, image: Path, options: argparse.Namespace) -> Iterator[None]:
    """Say after a failure how to go on from the parts that are in S3."""
    try:
        yield
    except BaseException:
        if upload.upload_id:
            command = ["s3archivefs", "upload", str(image), options.url]
            command += ["--force"] if options.force else []
            command += ["--storage-class", options.storage_class] if options.storage_class else []
            sys.stderr.write(
                "s3archivefs: what was sent is kept in S3; "
                f"to go on: {shlex.join(command)}; "
                f"to delete it: s3archivefs upload --abort {shlex.quote(options.url)}\n"
            )
        raise


@contextmanager
def _parts_deleted(upload: ImageUpload) -> Iterator[None]:
    """Leave nothing in S3 after a failure: the image will be gone."""
    try:
        yield
    except BaseException:
        upload.abort()
        raise


def _abort(location: Location) -> None:
    from s3archivefs_lambda.s3_client import make_upload_client  # noqa: PLC0415
    from s3archivefs_lambda.upload import abort_uploads  # noqa: PLC0415

    count = abort_uploads(make_upload_client(threads=1), location.bucket, location.key)
    uploads = "upload" if count == 1 else "uploads"
    sys.stdout.write(f"{location}: {count} unfinished {uploads} deleted\n")


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, where rich is installed; yields what to tell bytes sent."""
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
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
