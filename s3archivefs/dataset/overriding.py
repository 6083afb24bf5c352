"""What a subclass of a dataset may override."""

from __future__ import annotations

__all__ = ["ReadByBatches"]


class ReadByBatches:
    """A dataset whose items are all read by `__getitems__`.

    PyTorch's DataLoader calls that, and never the `__getitem__` of such a dataset: one that a
    subclass has in its place, to add labels or noise, would be passed by without a word. Defining
    such a subclass raises TypeError.
    """

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        if "__getitem__" in vars(cls) and "__getitems__" not in vars(cls):
            raise TypeError(
                f"{cls.__name__} overrides __getitem__, but items are read by __getitems__, which"
                " DataLoader calls: override that, which returns the items of several indices"
            )
