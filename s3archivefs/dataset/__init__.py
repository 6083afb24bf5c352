"""The files of an image as a dataset to train on."""

from __future__ import annotations

from s3archivefs.dataset.archive_dataset import ArchiveDataset
from s3archivefs.dataset.block_shuffle import BlockShuffle
from s3archivefs.dataset.decoding import DecodeError

__all__ = ["ArchiveDataset", "BlockShuffle", "DecodeError"]
