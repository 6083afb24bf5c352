"""botocore's description of S3, read once for all clients of a process.

Each session would read it anew, which is half of the 60 ms that a client takes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from botocore.loaders import Loader

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["share_descriptions"]


class _S3Loader(Loader):
    """A loader that looks for no service but S3.

    botocore lists 900 folders to see whether a service is one that it knows, which takes 20 ms.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 -- botocore's signature
        """Return the services that there are descriptions of."""
        return ["s3"]


@cache
def _loader(*search_paths: str) -> _S3Loader:
    """Return the loader that all sessions share which look in these folders."""
    return _S3Loader(extra_search_paths=[*search_paths], include_default_search_paths=False)


def share_descriptions(session: Session) -> None:
    """Have a session take its descriptions from the loader that all sessions share."""
    found = session.get_component("data_loader").search_paths
    session.register_component("data_loader", _loader(*found))
