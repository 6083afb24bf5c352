"""The subcommands of this package, each a module of its name.

A module loads when its subcommand is used.
"""

from __future__ import annotations

__all__ = ["COMMANDS"]

COMMANDS = {
    "ls": "list directories of an image",
    "tree": "draw what lies below a path of an image",
    "find": "search an image for names, kinds, sizes, times and attributes",
    "stat": "say all that an image holds of a path but its content",
    "du": "sum up how much lies below a path of an image",
    "diff": "tell how an image differs from another, or from a directory",
    "cat": "write files of an image to standard output",
    "extract": "make files and directories of an image in a directory",
    "cp": "copy a file or directory out of an image",
    "pack": "make an image of directories, archives and files",
    "append": "add members to an image, whose data stays where it lies",
    "remove": "remove members from an image",
    "compact": "drop the data of an image that no member refers to any more",
    "info": "say what an image is",
    "hash": "write checksums of files, which sha256sum checks",
    "verify": "read all of an image and name what is damaged",
    "mount": "mount an image, or several, as a read-only tree of files",
    "umount": "unmount what mount mounted",
    "completion": "write a script by which a shell completes arguments",
}
"""By name what a subcommand does, as the list of commands says it."""
