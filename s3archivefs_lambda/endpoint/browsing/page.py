"""The page for people: what a browser gets of buckets, prefixes and objects, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.endpoint.browsing import views
from s3archivefs_lambda.endpoint.browsing.document import OBJECT_FIELDS, document
from s3archivefs_lambda.endpoint.browsing.markup import joined, shown
from s3archivefs_lambda.endpoint.browsing.page_request import BROWSE, SIGN_IN, PageRequest, is_page
from s3archivefs_lambda.endpoint.browsing.preview import preview
from s3archivefs_lambda.endpoint.browsing.s3_reader import Entry, S3Reader
from s3archivefs_lambda.endpoint.browsing.search import search
from s3archivefs_lambda.s3api.buckets import DEFAULT_REGION
from s3archivefs_lambda.s3api.dates import parse_http_date
from s3archivefs_lambda.s3api.errors import no_such_bucket
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from typing import TypeAlias

    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.browsing.markup import Markup
    from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations
    from s3archivefs_lambda.s3api.messages import S3Request, S3Response

    PageMaker: TypeAlias = Callable[
        [EndpointOperations, Container[str], Verifier | None], "BrowsedOperations"
    ]
    """Makes the page over operations on these buckets, for requests that are checked so."""

__all__ = ["MAX_ENTRIES", "BrowsedOperations", "PageMaker"]

MAX_ENTRIES = 500
"""Entries on a page.

S3 would list twice as many; a phone shows this many without delay.
"""


class BrowsedOperations:
    """All operations of an endpoint, and the page beside them.

    `served` are the buckets there are, `scheme` is that of the endpoint's URL. With a verifier, all
    that the page shows is asked for with signatures, which a script in it makes.
    """

    def __init__(
        self,
        operations: EndpointOperations,
        served: Container[str],
        verifier: Verifier | None,
        *,
        scheme: str,
    ) -> None:
        self.object_fields = OBJECT_FIELDS
        """Header fields of every answer that is not of the page."""
        self._operations = operations
        self._served = served
        self._scheme = scheme
        self._is_signed = verifier is not None
        self._region = (verifier and verifier.region) or DEFAULT_REGION

    def view_of(
        self,
        method: str,
        headers: Mapping[str, str],
        key: str,
        query: Iterable[tuple[str, str]],
    ) -> str | None:
        """Return what a browser asks for of the page, if it does.

        Where requests must be signed, one that is not gets the form to sign in, and nothing else.
        """
        if not is_page(method, headers.get("accept", ""), key, query):
            return None
        return SIGN_IN if self._is_signed and "authorization" not in headers else BROWSE

    def request_of(self, request: S3Request, named: str) -> PageRequest:
        """Return a request as one for the page.

        `named` is the bucket that the host names, if it does.
        """
        return PageRequest.of(request, named=named, is_signed=self._is_signed)

    def answer(self, operation: str, request: S3Request, key: AccessKey | None) -> S3Response:
        """Return the operation's answer, which may be an error."""
        if not isinstance(request, PageRequest):
            return self._operations.answer(operation, request, key)
        if operation == SIGN_IN:
            return document("Sign in", views.sign_in(self._region), is_signed=True)
        reader = S3Reader(self._operations, request, key)
        return answer_or_error(operation, lambda _: self._page(request, reader), request)

    def at_hand(
        self, operation: str, request: S3Request, key: AccessKey | None
    ) -> S3Response | None:
        """Return the same if it takes neither reading nor waiting."""
        if isinstance(request, PageRequest):
            return self.answer(operation, request, key) if operation == SIGN_IN else None
        return self._operations.at_hand(operation, request, key)

    def _page(self, request: PageRequest, reader: S3Reader) -> S3Response:
        is_signed = request.is_signed
        try:
            if not request.bucket:
                main = joined([views.heading("Buckets"), views.buckets(reader.buckets())])
            elif request.bucket not in self._served:
                raise no_such_bucket(request.bucket)
            elif "preview" in request.query:
                main = self._object(request, reader)
            elif find := request.query.get("find"):
                main = self._found(request, reader, find)
            else:
                main = self._listing(request, reader)
        except S3Error as error:
            main = joined([views.breadcrumbs(request), views.failure(error)])
            return document(
                error.code, main, is_signed=is_signed, status=error.status, code=error.code
            )
        place = f"{request.bucket}/{request.key}" if request.bucket else "Buckets"
        return document(shown(place), main, is_signed=is_signed)

    # ---- What it shows ---------------------------------------------------------------------------

    def _listing(self, request: PageRequest, reader: S3Reader) -> Markup:
        prefix, after = request.key, request.query.get("after")
        if starts := _starts_below(request, reader.key):
            entries, token = starts, None
        else:
            entries, token = reader.listing(prefix, after, delimiter="/", most=MAX_ENTRIES)
        entries = [entry for entry in entries if entry.key != prefix]
        count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
        if after or token:
            count += " on this page; to sort is to sort this page"
        elif not entries:
            count = "Nothing is here."
        parts = [
            views.breadcrumbs(request),
            views.heading(_name(prefix) or request.bucket),
            *([] if starts else [views.search_form(request)]),
            views.table(request, entries, caption=count, below=prefix),
            views.paging(request, {"after": token} if token else None, is_first=after is None),
            *([] if starts else [self._command_for_all(request)]),
        ]
        return joined(parts)

    def _found(self, request: PageRequest, reader: S3Reader, find: str) -> Markup:
        after = request.query.get("after")
        found = search(reader, request.key, find, after)
        count = f"{len(found.hits)} found among {found.looked_at:,} objects"
        following = {"find": find, "after": found.token} if found.token else None
        if after or found.token:
            count += " of this part of the search; to sort is to sort this part"
        return joined(
            [
                views.breadcrumbs(request),
                views.heading(f"\u201c{find}\u201d below {_name(request.key) or request.bucket}"),
                views.search_form(request, find),
                views.table(request, found.hits, caption=count, below=request.key),
                views.paging(request, following, is_first=True, following="Search on"),
            ]
        )

    def _object(self, request: PageRequest, reader: S3Reader) -> Markup:
        headers = reader.head(request.key)
        length, kind = int(headers["Content-Length"]), headers.get("Content-Type", "")
        modified = parse_http_date(headers.get("Last-Modified", ""))
        name = shown(_name(request.key))
        facts = {
            "Size": views.size(length),
            "Modified": f"{modified:%Y-%m-%d %H:%M:%S} UTC" if modified else "",
            "Type": kind,
            "ETag": headers.get("ETag", ""),
        }
        words = ("s3", "cp", f"s3://{request.bucket}/{request.key}", ".")
        return joined(
            [
                views.breadcrumbs(request),
                views.heading(_name(request.key)),
                views.download(request),
                views.facts({fact: value for fact, value in facts.items() if value}),
                views.command(request, self._scheme, *words),
                preview(request, reader, kind, length, name=name),
            ]
        )

    def _command_for_all(self, request: PageRequest) -> Markup:
        target = _name(request.key) or request.bucket
        source = f"s3://{request.bucket}/{request.key}"
        return views.command(
            request, self._scheme, "s3", "cp", "--recursive", source, f"./{target}"
        )


def _starts_below(request: PageRequest, key: AccessKey | None) -> list[Entry]:
    """Return the directories on the way to what a key may read.

    There are none where it may list all.
    """
    if key is None or key.may_read(request.bucket, request.key) or key.starts is None:
        return []
    size = len(request.key)
    below = {
        start[: start.index("/", size) + 1]
        for start in key.starts.get(request.bucket, ())
        if start.startswith(request.key)
    }
    return [Entry(each) for each in sorted(below)]


def _name(key: str) -> str:
    return key.removesuffix("/").rpartition("/")[2]
