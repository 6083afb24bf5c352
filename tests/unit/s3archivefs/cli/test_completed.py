from __future__ import annotations

from s3archivefs.cli.arguments import arguments_of
from s3archivefs.cli.command import make_parser
from s3archivefs.cli.completed import kinds, subcommands


def kinds_of(name: str) -> dict[str, str]:
    """Return by its name what each argument of a subcommand is completed by."""
    parser = make_parser()
    named = dict(kinds(parser))
    actions = arguments_of(subcommands(parser)[name])
    return {action.dest: named[action] for action in actions if action in named}


def test_a_path_may_be_joined_to_an_image_where_no_path_has_to_follow() -> None:
    assert kinds_of("ls") == {"image": "image", "paths": "inside"}
    assert kinds_of("cp") == {"image": "image", "paths": "inside or file", "destination": "file"}
    assert kinds_of("diff") == {"image": "image", "other": "image"}
    assert kinds_of("remove") == {"image": "file", "paths": "inside"}
    assert kinds_of("info") == {"image": "file"}


def test_files_and_directories_on_disk_are_told_from_what_is_inside() -> None:
    assert kinds_of("upload") == {"source": "file", "keep": "file"}
    assert kinds_of("mount") == {"archives": "file", "directory": "directory"}
    assert kinds_of("umount") == {"directory": "directory"}
    assert kinds_of("append") == {
        "image": "file",
        "sources": "file",
        "into": "inside",
        "order": "file",
        "manifest": "file",
    }
