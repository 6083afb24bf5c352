"""Contents of files, drawn by hypothesis: sizes around blocks, holes, and all kinds of bytes."""

from __future__ import annotations

from functools import lru_cache
from random import Random

from hypothesis import strategies as st

_LETTERS = bytes(b"etaoinshrdlu  \n."[byte % 16] for byte in range(256))
_CODE_SIZE = 16 << 10
_ARCHITECTURES = ("x86", "arm", "armthumb", "powerpc", "sparc")


def contents(block_size: int) -> st.SearchStrategy[bytes]:
    """Short files, and files whose sizes lie on, just under and just over multiples of the block
    size. Some start alike.
    """

    def build(size: int, fillings: str, seed: int) -> bytes:
        blocks = -(-size // block_size)
        return b"".join(
            # No two blocks of a file are equal but holes, so that their order shows.
            _block(fillings[number % len(fillings)], seed + number, block_size)
            for number in range(blocks)
        )[:size]

    around = st.builds(
        lambda blocks, by: blocks * block_size + by,
        st.integers(1, 3),
        st.sampled_from((-1, 0, 1, block_size // 2)),
    )
    return st.builds(
        build,
        st.integers(0, 300) | around,
        st.text("t0nc", min_size=1, max_size=4),
        st.integers(0, 2),
    )


@lru_cache(maxsize=64)
def _block(filling: str, seed: int, size: int) -> bytes:
    """Bytes that compress to half (t), not at all (n), by a branch filter of xz (c), or a hole."""
    if filling == "0":
        return bytes(size)
    if filling == "c":
        # Zeros behind it: said twice, the code compresses better without a filter.
        return _code(_ARCHITECTURES[seed % 5], seed)[:size].ljust(size, b"\0")
    noise = Random(seed).randbytes(size)
    return noise if filling == "n" else noise.translate(_LETTERS)


def _code(architecture: str, seed: int) -> bytes:
    """Machine code that calls a few functions, each relative to its place. A branch filter makes
    the calls of one function alike; without it no two are.
    """
    random = Random(seed)
    functions = [random.randrange(0, 1 << 20, 4) for _ in range(3)]
    code = bytearray()
    while len(code) < _CODE_SIZE:
        code += _call(architecture, len(code), random.choice(functions))
    return bytes(code)


def _call(architecture: str, here: int, to: int) -> bytes:
    """The instruction at `here` that calls the function at `to`."""
    match architecture:
        case "x86":  # call rel32, from the next instruction
            return b"\xe8" + (to - here - 5 & 0xFFFFFFFF).to_bytes(4, "little")
        case "arm":  # bl, in words from two instructions on
            return (0xEB000000 | (to - here - 8 >> 2 & 0xFFFFFF)).to_bytes(4, "little")
        case "armthumb":  # bl, a pair of halfwords with 11 bits each
            high, low = divmod(to - here - 4 >> 1 & 0x3FFFFF, 1 << 11)
            return (0xF000 | high | (0xF800 | low) << 16).to_bytes(4, "little")
        case "powerpc":  # bl
            return (0x48000001 | (to - here & 0x3FFFFFC)).to_bytes(4, "big")
        case "sparc":  # call, in words
            return (0x40000000 | (to - here >> 2 & 0x3FFFFFFF)).to_bytes(4, "big")
        case _:
            raise ValueError(f"no calls for {architecture}")
