"""Pack the objects below each prefix of S3 into an archive of its own, with Dask or Ray.

    python examples/pack_prefixes.py dask s3://raw/photos/ s3://packed/photos/ [WORKERS]

A task is a prefix one level below the first URL, such as s3://raw/photos/2024/; its archive is
s3://packed/photos/2024.sqfs, with the list of what went in beside it, 2024.jsonl. That list is
written last: a prefix that has one is done, and a run that was ended goes on where it was. Objects
that lie right below the first URL are left alone, and no object is deleted.

At the end, mappings.txt maps each prefix to its archive, for S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE.
Workers share nothing but S3: the command streams, and needs no disk.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAPPINGS = Path("mappings.txt")


def split(url: str) -> tuple[str, str]:
    """Return the bucket and the key, or prefix, of an s3:// URL."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def prefixes(url: str) -> Iterator[str]:
    """Yield the names that are prefixes one level below a URL."""
    bucket, prefix = split(url)
    pages = boto3.client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        for each in page.get("CommonPrefixes", []):
            yield each["Prefix"].removeprefix(prefix).rstrip("/")


def is_there(url: str) -> bool:
    """Return whether an object is there."""
    bucket, key = split(url)
    try:
        boto3.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def pack(source: str, target: str, name: str) -> str:
    """Pack one prefix, unless that is done; return its name."""
    manifest_url = f"{target}{name}.jsonl"
    if is_there(manifest_url):
        return name
    with tempfile.TemporaryDirectory() as directory:
        manifest = Path(directory, "manifest")
        command = ["s3archivefs", "pack", "--force", "--manifest", str(manifest)]
        subprocess.run([*command, f"{source}{name}/", f"{target}{name}.sqfs"], check=True)
        bucket, key = split(manifest_url)
        boto3.client("s3").upload_file(str(manifest), bucket, key)
    return name


def with_dask(source: str, target: str, names: Iterable[str], workers: int | None) -> list[str]:
    """Pack all prefixes with Dask."""
    import dask  # noqa: PLC0415 -- one of the two is installed

    tasks = [dask.delayed(pack)(source, target, name) for name in names]
    # With a cluster, dask.distributed.Client(...) in place of processes of this machine.
    return [*dask.compute(*tasks, scheduler="processes", num_workers=workers)]


def with_ray(source: str, target: str, names: Iterable[str], workers: int | None) -> list[str]:
    """Pack all prefixes with Ray."""
    import ray  # noqa: PLC0415 -- likewise

    ray.init(num_cpus=workers)
    task = ray.remote(pack)
    packed: list[str] = ray.get([task.remote(source, target, name) for name in names])
    return packed


def main(engine: str, source: str, target: str, workers: str = "") -> None:
    """Pack all prefixes, and write the mappings."""
    run = {"dask": with_dask, "ray": with_ray}[engine]
    names = run(source, target, prefixes(source), int(workers) if workers else None)
    _, prefix = split(source)
    lines = [f"{prefix}{name}|{target}{name}.sqfs\n" for name in sorted(names)]
    MAPPINGS.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} archives; S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE={MAPPINGS} maps them")


if __name__ == "__main__":
    main(*sys.argv[1:])
