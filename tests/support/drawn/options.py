"""Compressors and other options of the tools that pack images, drawn by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from s3archivefs.format import (
    GzipOptions,
    Lz4Options,
    LzoOptions,
    XzOptions,
    ZstdOptions,
)
from s3archivefs.records import Record

Suite = Literal["squashfs-tools", "squashfs-tools-ng", "s3archivefs"]


@dataclass(frozen=True, slots=True)
class Compressor:
    """A compressor, its options as command line arguments, and what the image says of them."""

    name: str
    arguments: tuple[str, ...] = ()
    stored: Record | None = None


def compressors(suite: Suite, block_size: int) -> st.SearchStrategy[Compressor]:
    """A compressor with options of a suite of tools, for blocks of that size."""
    return st.one_of(
        _gzip(suite), _lz4(suite), _zstd(suite), _lzo(suite), _xz(suite, block_size), _lzma(suite)
    )


def mksquashfs_options() -> st.SearchStrategy[tuple[str, ...]]:
    """What is stored, compressed, shared and padded."""
    alone = ("-noI", "-noId", "-noD", "-noF", "-noX", "-nopad", "-no-duplicates", "-no-sparse")
    either = (
        ("-exports", "-no-exports"),
        ("-xattrs", "-no-xattrs"),
        ("-no-tailends", "-tailends"),
        ("", "-no-fragments", "-always-use-fragments"),
    )
    return st.tuples(
        st.lists(st.sampled_from(alone), unique=True).map(sorted), *map(st.sampled_from, either)
    ).map(lambda drawn: (*drawn[0], *filter(None, drawn[1:])))


def ng_options(*, xattrs: bool) -> st.SearchStrategy[tuple[str, ...]]:
    """Export table, tail ends, padding and, where the tool can leave them out, attributes."""
    flags = ["-e", "-T", *(["-x"] if xattrs else [])]
    padding = st.sampled_from(((), ("-B", "1024"), ("-B", "65536")))
    return st.tuples(st.lists(st.sampled_from(flags), unique=True).map(sorted), padding).map(
        lambda drawn: (*drawn[0], *drawn[1])
    )


# ---- Each compressor -----------------------------------------------------------------------------
# Options are stored only where they differ from what the writer takes for granted; lz4's always,
# lzma's never.

_LEVELS = st.none() | st.integers(1, 9)
_STRATEGIES = {"default": 1, "filtered": 2, "huffman_only": 4, "run_length_encoded": 8, "fixed": 16}
_FILTERS = {"x86": 1, "powerpc": 2, "ia64": 4, "arm": 8, "armthumb": 16, "sparc": 32}
_ALGORITHMS = ("lzo1x_1", "lzo1x_1_11", "lzo1x_1_12", "lzo1x_1_15", "lzo1x_999")


def _gzip(suite: Suite) -> st.SearchStrategy[Compressor]:
    def build(level: int | None, window: int | None, strategies: list[str]) -> Compressor:
        arguments = _arguments(suite, {"level": level, "window": window, "strategies": strategies})
        bits = sum(map(_STRATEGIES.__getitem__, strategies))
        if suite == "squashfs-tools" and strategies == ["default"]:
            bits = 0
        stored = GzipOptions(level=level or 9, window_log=window or 15, strategies=bits)
        default = GzipOptions(level=9, window_log=15, strategies=0)
        return Compressor("gzip", arguments, None if stored == default else stored)

    return st.builds(build, _LEVELS, st.none() | st.integers(8, 15), _some_of(_STRATEGIES))


def _lz4(suite: Suite) -> st.SearchStrategy[Compressor]:
    return st.booleans().map(
        lambda hc: Compressor(
            "lz4", _arguments(suite, {"hc": hc}), Lz4Options(version=1, flags=int(hc))
        )
    )


def _zstd(suite: Suite) -> st.SearchStrategy[Compressor]:
    return st.integers(1, 22).map(
        lambda level: Compressor(
            "zstd",
            _arguments(suite, {"level": level}),
            None if level == 15 else ZstdOptions(level=level),
        )
    )


def _lzo(suite: Suite) -> st.SearchStrategy[Compressor]:
    def build(algorithm: str, level: int | None) -> Compressor:
        if algorithm != "lzo1x_999":
            arguments = _arguments(suite, {"algorithm": algorithm})
            stored = LzoOptions(algorithm=_ALGORITHMS.index(algorithm), level=0)
            return Compressor("lzo", arguments, stored)
        stored = LzoOptions(algorithm=4, level=level or 8)
        default = LzoOptions(algorithm=4, level=8)
        arguments = _arguments(suite, {"algorithm": algorithm, "level": level})
        return Compressor("lzo", arguments, None if stored == default else stored)

    # Only lzo1x_999 has levels. squashfs-tools-ng 1.2.0 fails where it is asked for another one.
    algorithms = _ALGORITHMS if suite == "squashfs-tools" else ("lzo1x_999",)
    return st.builds(build, st.sampled_from(algorithms), _LEVELS)


def _xz(suite: Suite, block_size: int) -> st.SearchStrategy[Compressor]:
    def build(size: int | None, filters: list[str], more: dict[str, object]) -> Compressor:
        arguments = _arguments(suite, {"dictionary": size, "filters": filters, **more})
        bits = sum(map(_FILTERS.__getitem__, filters))
        least = 0 if suite == "squashfs-tools" else 8192
        stored = XzOptions(dictionary_size=size or max(block_size, least), filters=bits)
        default = XzOptions(dictionary_size=block_size, filters=0)
        implied = stored == default and not more.get("extreme")
        return Compressor("xz", arguments, None if implied else stored)

    more = st.just({}) if suite == "squashfs-tools" else _lzma_parameters()
    return st.builds(build, _dictionaries(block_size), _some_of(_FILTERS), more)


def _lzma(suite: Suite) -> st.SearchStrategy[Compressor]:
    if suite == "squashfs-tools":
        return st.just(Compressor("lzma"))  # it has no options
    return _lzma_parameters().map(
        lambda parameters: Compressor("lzma", _arguments(suite, parameters))
    )


def _lzma_parameters() -> st.SearchStrategy[dict[str, object]]:
    """What only squashfs-tools-ng lets choose: the bits of literal context, literal position
    (together 4 at most) and position among them.
    """
    few = st.integers(0, 4)
    bits = st.fixed_dictionaries({"lc": few, "lp": few, "pb": few}).filter(
        lambda drawn: drawn["lc"] + drawn["lp"] <= 4
    )
    others = st.fixed_dictionaries(
        {}, optional={"level": st.integers(0, 9), "extreme": st.booleans()}
    )
    return st.builds(lambda bits, others: bits | others, st.just({}) | bits, others)


def _dictionaries(block_size: int) -> st.SearchStrategy[int | None]:
    """Sizes that an xz header can hold, 8 KiB at least and a block at most: powers of two, and sums
    of two adjacent ones.
    """
    sizes = [digit << exponent for exponent in range(12, 21) for digit in (2, 3)]
    return st.sampled_from([None, *(size for size in sizes if size <= block_size)])


def _some_of(names: dict[str, int]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(names)), unique=True, max_size=3)


_SWITCHES = {
    "level": "-Xcompression-level",
    "window": "-Xwindow-size",
    "strategies": "-Xstrategy",
    "algorithm": "-Xalgorithm",
    "dictionary": "-Xdict-size",
    "filters": "-Xbcj",
    "hc": "-Xhc",
}
_WORDS = {
    "dictionary": "dictsize",
    "huffman_only": "huffman",
    "run_length_encoded": "rle",
}


def _arguments(suite: Suite, settings: dict[str, object]) -> tuple[str, ...]:
    """The settings that say something, as a suite spells them."""
    arguments: list[str] = []
    for name, value in settings.items():
        if value is None or value is False or value == []:
            continue
        if suite == "squashfs-tools":
            arguments.append(_SWITCHES[name])
            if isinstance(value, list):
                arguments.append(",".join(value))
            elif value is not True:
                arguments.append(str(value))
        elif isinstance(value, list):
            arguments += [_WORDS.get(each, each) for each in map(str, value)]
        else:
            word = _WORDS.get(name, name)
            arguments.append(word if value is True else f"{word}={value}")
    if suite == "squashfs-tools" or not arguments:
        return tuple(arguments)
    return ("-X", ",".join(arguments))
