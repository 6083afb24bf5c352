"""Records of fixed size: what a declaration is, and the decoders that it yields.

A class whose annotations name the types of its fields declares a record. `Record.parse` goes by a
construct Struct, which also builds records in tests; it takes 34 µs, and parses what is read once
an image: superblock, compressor options, a table's header. `Record.decode` goes by a
`struct.Struct`, takes 0.3 µs, and decodes what is read once a file or an entry. A property test
proves that both agree.

construct takes longer to import than all of the reader, so the first `parse` imports it. Its
compiled form is not used: its documentation rules it out for untrusted data.
"""

from __future__ import annotations

from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import construct

__all__ = ["S16", "U16", "U32", "U64", "Record", "record"]

U16: TypeAlias = int
S16: TypeAlias = int
U32: TypeAlias = int
U64: TypeAlias = int

_CODES = {"U16": "H", "S16": "h", "U32": "L", "U64": "Q"}
"""Codes of integers, by what the names of their types end in: U16, CompressionU16.

They are those of `struct`, and of construct's FormatField. Both decoders return plain integers: the
readers, which check them, make them members of enums.
"""


class Record:
    """A record of fixed size."""

    __slots__ = ()

    codes: ClassVar[dict[str, str]] = {}
    """The code of each field, by its name, in the order of the disk."""
    layout: ClassVar[Struct]
    """The record as a struct.Struct, for hot paths."""

    @classmethod
    @cache
    def specification(cls) -> construct.Struct:
        """Return the same record as a construct Struct."""
        import construct  # noqa: PLC0415 -- not imported by those who open no image

        fields = (name / construct.FormatField("<", code) for name, code in cls.codes.items())
        return construct.Struct(*fields)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the record at the start of `data`, which must hold all of it."""
        found = cls.specification().parse(data)
        return cls(*(found[name] for name in cls.codes))

    @classmethod
    def decode(cls, data: bytes | memoryview, offset: int = 0) -> Self:
        """Return the record at `offset` of `data`, which must hold all of it."""
        return cls(*cls.layout.unpack_from(data, offset))

    def as_dict(self) -> dict[str, int]:
        """Return the fields by their names, in the order of the disk."""
        return {name: getattr(self, name) for name in self.codes}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record) or type(other) is not type(self):
            return NotImplemented
        return other.as_dict() == self.as_dict()

    __hash__ = None  # type: ignore[assignment]  # as of any object whose fields can be changed

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{type(self).__name__}({shown})"


R = TypeVar("R", bound=Record)


@dataclass_transform()
def record(declaration: type[R]) -> type[R]:
    """Return the record that a declaration declares, with slots, `__init__` and layout.

    It is what `dataclass(slots=True)` makes, which takes 16 times as long for all of the format.
    """
    own = declaration.__annotations__
    codes = declaration.codes | {name: _CODES[kind[-3:]] for name, kind in own.items()}
    members = {**vars(declaration), "__slots__": tuple(own), "__match_args__": tuple(codes)}
    for unslotted in ("__dict__", "__weakref__"):
        del members[unslotted]
    members["__init__"] = _initializer(codes)
    members["codes"] = codes
    members["layout"] = Struct("<" + "".join(codes.values()))
    slotted: type[R] = type(declaration.__name__, declaration.__bases__, members)
    return slotted


def _initializer(names: Iterable[str]) -> Callable[..., None]:
    """Return the `__init__` that one would write by hand for these fields."""
    assignments = "; ".join(f"self.{name} = {name}" for name in names)
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(f"def __init__(self, {', '.join(names)}): {assignments}", namespace)  # noqa: S102 -- of declared names
    made: Callable[..., None] = namespace["__init__"]
    return made
