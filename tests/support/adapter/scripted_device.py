"""A device over the object of a scripted store."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from s3archivefs_lambda.store.body import Patience
from s3archivefs_lambda.store.device import S3Device

if TYPE_CHECKING:
    from tests.support.servers.scripted_store import ScriptedStore

CONTENT = random.Random(1).randbytes(3_000_000)
SIZE = len(CONTENT)


def device_of(
    store: ScriptedStore,
    *,
    patience: Patience = Patience(),  # noqa: B008 -- immutable
    **config: object,
) -> S3Device:
    client = store.client(**config)
    size = len(store.content)
    return S3Device(client, "bucket", "key", etag=store.etag, size=size, patience=patience)
