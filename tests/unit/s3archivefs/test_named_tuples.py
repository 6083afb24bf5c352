"""The named tuples of the reader are those of `typing`, declared for less."""

from __future__ import annotations

import pickle
import typing
from typing import Any, Generic, TypeVar, get_type_hints

import pytest

from s3archivefs.named_tuples import NamedTuple

T = TypeVar("T")


class Point(NamedTuple):
    """A place."""

    x: int
    y: int = 2
    """From the left."""

    @property
    def total(self) -> int:
        return self.x + self.y


class Typed(typing.NamedTuple):
    """A place."""

    x: int
    y: int = 2

    @property
    def total(self) -> int:
        return self.x + self.y


class Pair(NamedTuple, Generic[T]):
    left: T
    right: T


@pytest.mark.parametrize("declared", [Point, Typed])
def test_a_declaration_makes_a_tuple_with_names(declared: Any) -> None:  # noqa: ANN401 -- of either
    point = declared(1)
    assert point == (1, 2) == declared(x=1, y=2)
    assert (point.x, point.total, repr(point)) == (1, 3, f"{declared.__name__}(x=1, y=2)")
    assert point._replace(y=5).total == 6
    assert (declared._fields, declared._field_defaults) == (("x", "y"), {"y": 2})
    assert (declared.__match_args__, declared.__doc__) == (("x", "y"), "A place.")
    assert get_type_hints(declared) == {"x": int, "y": int}
    assert not hasattr(point, "__dict__")
    assert pickle.loads(pickle.dumps(point)) == point  # noqa: S301 -- our own
    assert type(pickle.loads(pickle.dumps(point))) is declared  # noqa: S301 -- likewise
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        declared()


def test_a_declaration_may_be_generic() -> None:
    assert Pair[int](1, 2) == Pair(1, 2) == (1, 2)
    assert issubclass(Pair, tuple)
