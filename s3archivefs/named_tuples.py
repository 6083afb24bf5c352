"""`NamedTuple` as `typing` has it, and cheap to declare.

That of `typing` makes an object of each annotation, to check it, which takes most of its time; on
Python 3.14 it imports `ast` for that, which takes a quarter of what `import s3archivefs` does.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _Declaration(type):
        def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            """Return the class whose fields are the annotations of a declaration."""
            fields = members["__annotations__"]
            defaults = [members.pop(field) for field in fields if field in members]
            module = members["__module__"]
            fielded = namedtuple(name, fields, defaults=defaults, module=module)  # noqa: PYI024 -- its maker
            others = (base for base in bases if base is not NamedTuple)
            return type(name, (fielded, *others), {"__slots__": (), **members})

    NamedTuple = type.__new__(_Declaration, "NamedTuple", (), {})
