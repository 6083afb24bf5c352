"""Read an archive as a table of Spark, and count the words of its texts with SQL.

    python examples/spark_texts.py s3://my-bucket/texts.sqfs

`Archive` is a data source for any job: a row is a member's path and content. A task reads members
that lie together in the archive, with a few requests, and no two fetch the same blocks. Executors
share nothing but the archive, so that they may be anywhere.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from s3archivefs.dataset import ArchiveDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = """
    SELECT word, count(*) AS number
    FROM (SELECT explode(split(decode(content, 'utf-8'), '\\\\s+')) AS word FROM texts)
    WHERE word != '' GROUP BY word ORDER BY number DESC LIMIT 10
"""


class Archive(DataSource):  # type: ignore[misc]  # not installed where types are checked
    """The files of an archive: `spark.read.format("archive").load(url)`.

    Options are `glob`, by default all files, and `partitionBytes`, by default 16 MiB.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "archive"

    def schema(self) -> str:
        """Return the columns of the table."""
        return "path string, content binary"

    def reader(self, schema: object) -> ArchiveReader:  # noqa: ARG002 -- there is one schema
        """Return the reader of an archive."""
        return ArchiveReader(
            self.options["path"],
            self.options.get("glob", "**/*"),
            int(self.options.get("partitionBytes", 16 << 20)),
        )


class ArchiveReader(DataSourceReader):  # type: ignore[misc]  # likewise
    """The rows of an archive."""

    def __init__(self, url: str, glob: str, partition_bytes: int) -> None:
        self._url = url
        self._glob = glob
        self._partition_bytes = partition_bytes

    def partitions(self) -> list[InputPartition]:
        """Return a partition for each task, datasets with the members that it reads."""
        with ArchiveDataset(self._url, self._glob) as dataset:
            return [*map(InputPartition, dataset.partitions(self._partition_bytes))]

    def read(self, partition: InputPartition) -> Iterator[tuple[str, bytes]]:
        """Yield the rows of a partition."""
        for index, content in enumerate(partition.value):
            yield partition.value.path(index), content


def main(archive: str) -> None:
    """Print the words that are most frequent."""
    spark = SparkSession.builder.getOrCreate()
    spark.dataSource.register(Archive)
    spark.read.format("archive").load(archive).createOrReplaceTempView("texts")
    for row in spark.sql(COUNT).collect():
        print(row.number, row.word)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
