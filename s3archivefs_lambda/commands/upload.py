"""The `upload` subcommand: store an image, or a directory packed into one, in S3.

The `s3archivefs` command loads this module whenever it runs, so each function imports what costs
time itself.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import HelpFormatter, examples
from s3archivefs.cli.interruption import interrupt_at_signals
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs_lambda.commands.errors import UsageError, made_client, require

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import BinaryIO

    from s3archivefs_lambda.upload.upload import ImageUpload
    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = ["register_upload"]


def register_upload(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `upload` to the subcommands of the `s3archivefs` command."""
    parser = commands.add_parser(
        "upload",
        help="store an image, or a directory as an image, in S3",
        description="Store a squashfs image in S3, or pack a directory into one and store that. "
        "An object that exists is replaced only with --force.",
        epilog=examples(
            ("s3archivefs upload docs.sqfs s3://my-bucket/docs.sqfs", "an image"),
            ("s3archivefs upload photos/ s3://my-bucket/", "a directory, as photos.sqfs"),
            ("s3archivefs upload --abort s3://my-bucket/docs.sqfs", "what was left unfinished"),
            note="An interrupted upload of an image leaves its parts in S3: the same command "
            "resumes it, --abort deletes them. Endpoint and credentials come from the standard AWS "
            "settings.",
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="an image, or a directory, which is packed first",
    )
    parser.add_argument("url", metavar="URL", help="where to: s3://bucket/key")
    parser.add_argument("--force", action="store_true", help="replace an object that exists")
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
        help="bytes in each part of the upload, at least 5 MiB; more where there would be over "
        "10,000 parts (default: S3ARCHIVEFS_MPU_CHUNK_SIZE, else 16 MiB)",
    )
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="check the image's superblock and tables only. By default all of it is read first, "
        "at 100 MB/s or more: better find damage now than when someone reads the file",
    )
    parser.add_argument(
        "--image",
        dest="keep",
        metavar="FILE",
        help="of a directory: keep the packed image here, so that an interrupted upload can resume",
    )
    parser.add_argument(
        "--abort",
        action="store_true",
        help="delete the parts of all unfinished uploads to this key, and upload nothing",
    )
    add_progress(parser)
    parser.set_defaults(run=_upload)


def _upload(options: argparse.Namespace) -> int:
    from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError

    interrupt_at_signals()
    try:
        _run(options)
    except UsageError as error:
        return error.report()
    except OtherObjectError as error:
        sys.stderr.write(f"s3archivefs: {error}; --force replaces it\n")
        return 1
    except UploadError as error:
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
    _complete_options(options)
    if Path(options.source).is_dir():
        _upload_directory(Path(options.source), options)
    else:
        _upload_image(Path(options.source), options)


def _complete_options(options: argparse.Namespace) -> None:
    """Fill in missing options from the environment, and check them before packing takes time."""
    from s3archivefs_lambda.commands.upload_settings import part_bytes, storage_class
    from s3archivefs_lambda.config.errors import SettingError

    options.storage_class = storage_class(options.storage_class, os.environ)
    try:
        options.part_size = part_bytes(options.part_size, os.environ)
    except SettingError as error:
        raise UsageError(str(error)) from error


def _upload_image(path: Path, options: argparse.Namespace) -> None:
    from s3archivefs_lambda.commands.image_check import check, verify
    from s3archivefs_lambda.commands.upload_leftovers import parts_named

    if options.keep:
        raise UsageError(f"--image keeps what a directory is packed into; {path} is none")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path}: is neither a file nor a directory")
    target = _target(options.url, path.name)
    with path.open("rb") as file:
        upload = _upload_of(file, target, options)
        check(path, file, may_verify=not options.no_verify)
        target.require_bucket()  # before verifying takes time
        if not upload.is_stored() and not options.no_verify:
            verify(path, file, progress=options.progress)
        with parts_named(upload, path, options):
            _send(upload, wanted=options.progress)


def _upload_directory(directory: Path, options: argparse.Namespace) -> None:
    from s3archivefs_lambda.commands.upload_leftovers import parts_deleted, parts_named

    if options.keep and Path(options.keep).exists():
        raise UsageError(f"--image {options.keep}: is there already; upload it, or choose another")
    target = _target(options.url, f"{directory.resolve().name or 'root'}.sqfs")
    target.require_bucket()  # before packing takes time
    if not options.force:
        target.require_absence()
    with _packed(directory, options) as path, path.open("rb") as file:
        upload = _upload_of(file, target, options)
        with parts_named(upload, path, options) if options.keep else parts_deleted(upload):
            _send(upload, wanted=options.progress)


def _abort(target: UploadTarget) -> None:
    count = target.abort_all()
    uploads = "upload" if count == 1 else "uploads"
    sys.stdout.write(f"{target}: {count} unfinished {uploads} deleted\n")


# ---- Steps ---------------------------------------------------------------------------------------


def _target(url: str, name: str = "") -> UploadTarget:
    """Return the place that `url` names, completed by `name` after a final slash."""
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.location import parse_location
    from s3archivefs_lambda.store.client import make_upload_client
    from s3archivefs_lambda.upload.upload import THREADS
    from s3archivefs_lambda.upload.upload_target import UploadTarget

    try:
        location = parse_location(url + name if url.endswith("/") else url)
    except SettingError as error:
        raise UsageError(f"{url}: {error}") from error
    if location.is_local:
        raise UsageError(f"{url}: write s3://bucket/key")
    client = made_client(lambda: make_upload_client(threads=THREADS))
    return UploadTarget(client, location.bucket, location.key)


@contextmanager
def _packed(directory: Path, options: argparse.Namespace) -> Iterator[Path]:
    """Pack the directory and yield the image's path, which may be a temporary file."""
    from tempfile import TemporaryDirectory

    from s3archivefs_lambda.upload.packing import pack

    with TemporaryDirectory(prefix="s3archivefs-") as temporary:
        path = Path(options.keep or Path(temporary, "image.sqfs"))
        sys.stderr.write(f"Packing {directory}\n")
        with progress_shown(options.progress) as progress:
            pack(directory, path, progress=progress)
        yield path


def _upload_of(image: BinaryIO, target: UploadTarget, options: argparse.Namespace) -> ImageUpload:
    """Return the upload of the image with these options; warn of parts that are longer."""
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


def _send(upload: ImageUpload, *, wanted: bool | None) -> None:
    """Store the image, and report that and the unfinished uploads to the same key.

    `wanted` is the option that says whether to show progress.
    """
    from s3archivefs_lambda.commands.upload_leftovers import tell_leftovers, tell_others
    from s3archivefs_lambda.upload.errors import UploadError

    with progress_shown(wanted, size=upload.size) as progress:
        upload.progress = partial(progress, 0)
        stored = upload.run()
    how = "stored" if stored else "stored already"
    sys.stdout.write(f"{upload.target}: {upload.size:,} bytes {how}\n")
    try:
        upload.abort()
    except UploadError as error:
        tell_leftovers(upload.target, error)
        return
    tell_others(upload.target)
