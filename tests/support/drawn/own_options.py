"""Options of the project's own writer, drawn by hypothesis, and what an image stores of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from s3archivefs.format import GzipOptions, Lz4Options, ZstdOptions
from s3archivefs.writer.options import PackOptions
from tests.support.drawn.options import Compressor

if TYPE_CHECKING:
    from tests.support.drawn.images import DrawnImage

__all__ = ["FLAGS", "own_compressors", "own_flags", "pack_options"]

FLAGS = {
    "-no-fragments": {"fragments": False},
    "-tail-ends": {"tail_ends": True},
    "-no-deduplication": {"deduplicate": False},
    "-no-exports": {"exportable": False},
}
"""Options that are on or off, by what a drawn image calls them."""


def own_compressors() -> st.SearchStrategy[Compressor]:
    """A compressor with or without a level."""
    return st.one_of(
        st.just(Compressor("gzip", ("none",))),
        _levels(1, 9).map(
            lambda level: Compressor(
                "gzip",
                _argument(level),
                GzipOptions(level, 15, 0) if level not in {None, 9} else None,
            )
        ),
        _levels(1, 22).map(
            lambda level: Compressor(
                "zstd", _argument(level), None if level in {None, 15} else ZstdOptions(level or 15)
            )
        ),
        _levels(0, 12).map(
            lambda level: Compressor("lz4", _argument(level), Lz4Options(1, int(bool(level))))
        ),
        _levels(0, 9).map(lambda level: Compressor("xz", _argument(level))),
        st.sampled_from([None, 9]).map(lambda level: Compressor("lzo", _argument(level))),
    )


def own_flags() -> st.SearchStrategy[tuple[str, ...]]:
    """Some of FLAGS; `-exports` says that none of them leaves out the export table."""
    return st.sets(st.sampled_from(sorted(FLAGS))).map(
        lambda drawn: (*sorted(drawn), *(() if "-no-exports" in drawn else ("-exports",)))
    )


def pack_options(drawn: DrawnImage) -> PackOptions:
    """The options of a drawn image as the writer takes them."""
    arguments = drawn.compressor.arguments
    stores = arguments == ("none",)
    settings = {key: value for flag in drawn.options for key, value in FLAGS.get(flag, {}).items()}
    return PackOptions(
        compressor="none" if stores else drawn.compressor.name,
        level=int(arguments[0]) if arguments and not stores else None,
        block_size=drawn.block_size,
        **settings,
    )


def _levels(least: int, most: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(least, most)


def _argument(level: int | None) -> tuple[str, ...]:
    return () if level is None else (str(level),)
