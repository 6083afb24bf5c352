"""Archives by URL for the reader, which finds this function as an entry point."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from s3archivefs.errors import SquashfsError, UnsupportedError
from s3archivefs.filesystem.targets import find_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["open_url"]


def open_url(
    url: str, options: Mapping[str, Any] | None = None
) -> tuple[object, Callable[[], object]]:
    """Return what the reader opens in place of a URL, and what closes it.

    The URL is of any filesystem that fsspec knows, or a chain of them; `options` are those of the
    first, and for a chain those of each, by protocol. Others are those of fsspec's configuration.
    Raises UnsupportedError for one that is not known or not installed, and else OSError, whatever
    the filesystem raises.
    """
    try:
        opened = find_target(url, None, options or {}).open()
    except (OSError, SquashfsError):
        raise
    except ImportError as error:  # fsspec says what to install
        raise UnsupportedError(f"{url}: {error}") from error
    except ValueError as error:
        raise UnsupportedError(f"no installed package opens {url}: {error}") from error
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise OSError(errno.EIO, what, url) from error
    return opened.source, opened.close
