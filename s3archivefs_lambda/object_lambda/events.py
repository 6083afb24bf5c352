"""The events of S3 Object Lambda, read into S3 requests.

The key is taken from the path of `inputS3Url`, where it stands as the caller encoded it:
`userRequest.url` is decoded, and no longer tells a `?` of a key from the start of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

from s3archivefs_lambda.s3api.messages import S3Request, query_parameters
from s3archivefs_lambda.text import to_text

__all__ = ["Event", "parse_event"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event, as far as it matters."""

    operation: str
    """S3's name of the operation, as in `_CONTEXTS`."""
    protocol: str
    route: str
    """Empty but for GetObject, as is the token."""
    token: str
    access_key_id: str | None
    """The caller's access key, if it is known; for the log alone."""
    request: S3Request


_CONTEXTS = {
    "getObjectContext": "GetObject",
    "headObjectContext": "HeadObject",
    "listObjectsV2Context": "ListObjectsV2",
    "listObjectsContext": "ListObjects",
}
"""The member of an event that names its operation, and S3's name of that."""


def parse_event(event: object) -> Event:
    """Read an event. Members that this program does not know may hold anything.

    Raises ValueError for what is no Object Lambda event, and for a member that is missing or of
    another type than documented; it names the member.
    """
    members = _Members(event)
    name = next((name for name in _CONTEXTS if name in members), None)
    if name is None:
        raise _no_event(f"it has none of {', '.join(sorted(_CONTEXTS))}")
    context = members.object(name)
    target = context.url("inputS3Url")
    key = to_text(unquote_to_bytes(target.path.removeprefix("/")))
    user = members.object("userRequest")
    # What S3 signed into inputS3Url (all that a listing has) goes before the URL of the caller.
    query = _callers_query(user.text("url", ""), key) | _query(target.query)
    headers = {name.lower(): value for name, value in user.object("headers").texts().items()}
    # S3 Object Lambda, unlike S3, takes a range from the query too; the header goes first.
    if "Range" in query:
        headers.setdefault("range", query.pop("Range"))
    answered_by_call = name == "getObjectContext"
    return Event(
        operation=_CONTEXTS[name],
        protocol=members.text("protocolVersion", "1.00"),
        route=context.text("outputRoute") if answered_by_call else "",
        token=context.text("outputToken") if answered_by_call else "",
        access_key_id=_access_key_id(members.any("userIdentity")),
        request=S3Request(
            bucket=members.object("configuration").text("supportingAccessPointArn", ""),
            key=key,
            query=query,
            headers=headers,
            request_id=members.text("xAmzRequestId", ""),
            callers_url=context.text("inputS3Url"),
        ),
    )


def _access_key_id(identity: object) -> str | None:
    """Return the caller's access key. As it is for the log alone, it may be anything."""
    key_id = identity.get("accessKeyId") if isinstance(identity, Mapping) else None
    return key_id if isinstance(key_id, str) and key_id else None


def _callers_query(url: str, key: str) -> dict[str, str]:
    """Return the query of `userRequest.url`, which is a whole URL or only its path.

    Both key and query are decoded in it: a `?` may belong to the key, and a `+` is no space.
    """
    path = url if url.startswith("/") else "/" + url.partition("://")[2].partition("/")[2]
    rest = path.removeprefix("/" + key)
    return _query(rest.partition("?")[2].replace("+", "%2B"))


def _query(text: str) -> dict[str, str]:
    return query_parameters(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))


# ---- Members -------------------------------------------------------------------------------------


class _Members:
    """The members of one object of the event, each held to its documented type."""

    __slots__ = ("_members", "_path")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise _no_event(f"{path or 'it'} is {_kind(value)}, not an object")
        self._members = value
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def any(self, name: str) -> object:
        """Return the member of that name, whatever it is; None if there is none."""
        return self._members.get(name)

    def object(self, name: str) -> _Members:
        """Return the object of that name; an empty one if there is none."""
        return _Members(self._members.get(name, {}), self._path_of(name))

    def text(self, name: str, default: str | None = None) -> str:
        """Return the string of that name, which without a default must not be empty."""
        path = self._path_of(name)
        if default is None and name not in self._members:
            raise _no_event(f"{path} is missing")
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise _no_event(f"{path} is {_kind(value)}, not a string")
        if default is None and not value:
            raise _no_event(f"{path} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can escape half of a pair of surrogates
            raise _no_event(f"{path} is not Unicode text") from None
        return value

    def texts(self) -> dict[str, str]:
        """Return all members, which are strings."""
        return {name: self.text(name, "") for name in self._members}

    def url(self, name: str) -> SplitResult:
        """Return the parts of the URL of that name, which must be there."""
        text = self.text(name)
        try:
            return urlsplit(text)
        except ValueError as error:
            raise _no_event(f"{self._path_of(name)} is not a URL: {error}") from None

    def _path_of(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _kind(value: object) -> str:
    """Return JSON's word for a value's type."""
    return _KINDS.get(type(value), type(value).__name__)


def _no_event(what: str) -> ValueError:
    return ValueError(f"not an S3 Object Lambda event: {what}")
