"""How much memory a mount takes for decoded blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.mount.memory import available_memory, default_cache_mib

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


def test_images_share_a_sixteenth_of_the_memory_within_bounds() -> None:
    expected = {
        (1, GIB // 2): 96,
        (1, 2 * GIB): 128,
        (1, 4 * GIB): 256,
        (1, 64 * GIB): 384,
        (2, 4 * GIB): 128,
        (100, 64 * GIB): 96,
    }
    assert {given: default_cache_mib(*given) for given in expected} == expected
    assert 96 <= default_cache_mib(1) <= 384


def test_a_cgroup_bounds_the_memory(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    (tmp_path / "memory").mkdir()
    (tmp_path / "unit").mkdir()
    unbounded = available_memory(str(tmp_path), str(own))
    assert unbounded > 0
    limits = {
        "memory.max": 1 << 22,  # a container's own
        "memory/memory.limit_in_bytes": 1 << 21,  # likewise, of the first version
        "unit/memory.max": 1 << 20,
    }
    own.write_text("4:memory:/elsewhere\n0::/unit\n", encoding="ascii")
    for name, limit in limits.items():
        (tmp_path / name).write_text(f"{limit}\n", encoding="ascii")
        assert available_memory(str(tmp_path), str(own)) == limit
        (tmp_path / name).write_text("max\n", encoding="ascii")
        assert available_memory(str(tmp_path), str(own)) == unbounded
