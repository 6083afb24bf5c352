"""Programs that mount file systems where they alone see them."""

from __future__ import annotations

import os

__all__ = ["WITH_MOUNTS_OF_ITS_OWN"]

WITH_MOUNTS_OF_ITS_OWN = [
    *("unshare", "--mount"),
    *([] if os.geteuid() == 0 else ["--map-root-user"]),
]
"""What to put before a command. It is root's, to users in a namespace of users too."""
