"""What CloudWatch Logs makes of a log event by the specification of its embedded metric format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

MAX_EVENT_BYTES = 256 << 10  # 1 MB by now, but not long since
MAX_AGE_SECONDS = 14 * 86400
MAX_AHEAD_SECONDS = 2 * 3600
_RATED = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Count")
UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "None"),
    *_RATED,
    *(f"{unit}/Second" for unit in _RATED),
}


@dataclass(frozen=True)
class Metric:
    """One value, as it would be sent to CloudWatch."""

    namespace: str
    dimensions: tuple[tuple[str, str], ...]
    name: str
    unit: str
    value: float


def metrics_of(event: str) -> list[Metric]:
    """The metrics in a log event; AssertionError names the rule that it breaks."""
    assert len(event.encode()) <= MAX_EVENT_BYTES
    root = json.loads(event)  # all of the event is the document: nothing before or behind it
    metadata = root["_aws"]
    assert metadata.keys() == {"Timestamp", "CloudWatchMetrics"}
    timestamp = metadata["Timestamp"]
    assert type(timestamp) is int
    assert -MAX_AGE_SECONDS < timestamp / 1000 - time.time() < MAX_AHEAD_SECONDS
    return [
        Metric(
            namespace=directive["Namespace"],
            dimensions=tuple((name, root[name]) for name in dimensions),
            name=definition["Name"],
            unit=definition["Unit"],
            value=root[definition["Name"]],
        )
        for directive in metadata["CloudWatchMetrics"]
        for dimensions in _dimension_sets(directive, root)
        for definition in _definitions(directive, root)
    ]


def _dimension_sets(directive: dict[str, Any], root: dict[str, Any]) -> list[list[str]]:
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    assert 1 <= len(directive["Namespace"]) <= 1024
    assert not directive["Namespace"].startswith("AWS/")  # the services' own
    sets: list[list[str]] = directive["Dimensions"]
    assert sets
    for names in sets:
        assert len(names) <= 30
        for name in names:
            assert 1 <= len(name) <= 250
            assert isinstance(root[name], str)
            assert 1 <= len(root[name]) <= 1024
            assert root[name].isascii()
    return sets


def _definitions(directive: dict[str, Any], root: dict[str, Any]) -> list[dict[str, str]]:
    definitions: list[dict[str, str]] = directive["Metrics"]
    assert 1 <= len(definitions) <= 100
    for definition in definitions:
        assert {"Name"} <= definition.keys() <= {"Name", "Unit", "StorageResolution"}
        assert 1 <= len(definition["Name"]) <= 1024
        assert definition["Unit"] in UNITS
        assert type(root[definition["Name"]]) in {int, float}  # not bool
    return definitions
