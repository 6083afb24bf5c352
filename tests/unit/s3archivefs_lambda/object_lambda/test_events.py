"""Events that are not as documented: each answers as before, or names what is wrong in one error.

What well-formed events mean is shown by the tests of the function.
"""

from __future__ import annotations

import json
import random
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.object_lambda.events import parse_event
from tests.support.adapter.local_archives import operations_on
from tests.support.aws.object_lambda_events import Operation
from tests.support.aws.recording_function import Function, event
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = object()
VALUES: tuple[object, ...] = (
    *(None, 7, -1.5, True, [], [None], {}, {"x": 1}, MISSING),
    *("", "text", "http://[", "\ud800"),
)
INPUT_URL = "headObjectContext.inputS3Url"
EVENTS = {
    Operation.GET_OBJECT: event(
        Operation.GET_OBJECT, "plain/short.txt", "partNumber=1", If_Match="*", Accept="*/*"
    ),
    Operation.HEAD_OBJECT: event(Operation.HEAD_OBJECT, "plain/short.txt", Range="bytes=0-4"),
    Operation.LIST_OBJECTS: event(Operation.LIST_OBJECTS, "", "prefix=plain%2F&max-keys=2"),
    Operation.LIST_OBJECTS_V2: event(Operation.LIST_OBJECTS_V2, "", "list-type=2", Host="x"),
}

Path = tuple[str, ...]


def paths(value: object, above: Path = ()) -> Iterator[Path]:
    """The paths of all members."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield (*above, name)
            yield from paths(member, (*above, name))


def changed(whole: dict[str, Any], changes: dict[Path, object]) -> dict[str, Any]:
    """A copy in which these members have other values, where they are still there."""
    copy: dict[str, Any] = json.loads(json.dumps(whole))
    for (*above, name), value in changes.items():
        holder: Any = copy
        for step in above:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(name, None)
            if value is not MISSING:
                holder[name] = value
    return copy


@pytest.fixture(scope="module")
def function() -> Function:
    operations = operations_on({"plain": FIXTURES["gzip"].image})
    return Function(operations)


def handle(function: Function, made: dict[str, Any], mutated: tuple[Path, ...]) -> bool:
    """Whether the event is answered; otherwise its error names one of these members."""
    try:
        function.handle(made)
    except ValueError as error:
        said = str(error)
        assert said.startswith("not an S3 Object Lambda event: ")
        assert "\n" not in said
        assert any(".".join(path) in said for path in mutated), said
        return False
    return True


@pytest.mark.parametrize("operation", Operation)
def test_each_member_of_another_type_is_named_or_does_not_matter(
    function: Function, operation: Operation
) -> None:
    whole = EVENTS[operation]
    outcomes = [
        handle(function, changed(whole, {path: value}), (path,))
        for path in paths(whole)
        for value in VALUES
    ]
    assert {True, False} <= {*outcomes}
    assert len(outcomes) > 200


@pytest.mark.parametrize("operation", Operation)
def test_two_members_of_other_types_are_no_worse(function: Function, operation: Operation) -> None:
    whole = EVENTS[operation]
    pairs = [*combinations(paths(whole), 2)]
    draw = random.Random(operation.name)
    for _ in range(1500):
        pair = draw.choice(pairs)
        handle(function, changed(whole, {path: draw.choice(VALUES) for path in pair}), pair)


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("userRequest", ["x"], "userRequest is an array, not an object"),
        ("userRequest", None, "userRequest is null, not an object"),
        ("userRequest.url", {}, "userRequest.url is an object, not a string"),
        ("userRequest.headers.Range", 7, "userRequest.headers.Range is a number, not a string"),
        ("headObjectContext", "x", "headObjectContext is a string, not an object"),
        (INPUT_URL, True, f"{INPUT_URL} is a boolean, not a string"),
        (INPUT_URL, MISSING, f"{INPUT_URL} is missing"),
        (INPUT_URL, "", f"{INPUT_URL} is empty"),
        (INPUT_URL, "http://[", f"{INPUT_URL} is not a URL: Invalid IPv6 URL"),
        ("protocolVersion", 1.0, "protocolVersion is a number, not a string"),
        ("xAmzRequestId", "\udfff", "xAmzRequestId is not Unicode text"),
        (
            "headObjectContext",
            MISSING,
            (
                "it has none of getObjectContext, headObjectContext, listObjectsContext,"
                " listObjectsV2Context"
            ),
        ),
    ],
)
def test_the_error_says_what_is_wrong(member: str, value: object, said: str) -> None:
    made = changed(EVENTS[Operation.HEAD_OBJECT], {tuple(member.split(".")): value})
    with pytest.raises(ValueError, match="Object Lambda") as caught:
        parse_event(made)
    assert str(caught.value) == f"not an S3 Object Lambda event: {said}"


@pytest.mark.parametrize("name", ["outputRoute", "outputToken"])
def test_the_way_to_answer_is_needed_for_get_object_alone(name: str) -> None:
    made = changed(EVENTS[Operation.GET_OBJECT], {("getObjectContext", name): MISSING})
    with pytest.raises(ValueError, match=f"getObjectContext.{name} is missing"):
        parse_event(made)
    assert parse_event(EVENTS[Operation.HEAD_OBJECT]).route == ""


@pytest.mark.parametrize(
    ("made", "kind"),
    [(None, "null"), ([], "an array"), ("x", "a string"), (7, "a number"), (False, "a boolean")],
)
def test_what_is_no_object_is_no_event(made: object, kind: str) -> None:
    with pytest.raises(ValueError, match=f"event: it is {kind}, not an object"):
        parse_event(made)
