"""Very many small objects in a bucket: a thousand below each prefix."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from tests.support.images.many_files import PER_DIRECTORY, path_of, short_content_of

__all__ = ["put_many"]

_CONNECTIONS = 16


def put_many(bucket_url: str, prefix: str, count: int) -> None:
    """Put so many objects below a prefix of a bucket to which anybody may write.

    A client that signs its requests takes longer for them than the store does.
    """
    address, bucket = urlsplit(bucket_url)[1:3]

    def put(first: int) -> None:
        connection = http.client.HTTPConnection(address)
        for number in range(first, min(first + PER_DIRECTORY, count)):
            key = f"{bucket}/{prefix}{path_of(number)}"
            connection.request("PUT", key, short_content_of(number))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == http.client.OK
        connection.close()

    with ThreadPoolExecutor(_CONNECTIONS) as executor:
        for _ in executor.map(put, range(0, count, PER_DIRECTORY)):
            pass
