"""Parts of what the page shows, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from s3archivefs_lambda.endpoint.browsing.markup import Markup, Template, joined, shown
from s3archivefs_lambda.text import shell_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from s3archivefs_lambda.endpoint.browsing.page_request import PageRequest
    from s3archivefs_lambda.endpoint.browsing.s3_reader import Entry
    from s3archivefs_lambda.s3api.messages import S3Error

__all__ = [
    "breadcrumbs",
    "buckets",
    "command",
    "download",
    "facts",
    "failure",
    "heading",
    "note",
    "paging",
    "search_form",
    "sign_in",
    "size",
    "table",
]

_MAX_LEVELS = 32
"""Directories above that are shown: each has all those above it in its address."""

_CRUMBS = Template('<nav aria-label="Breadcrumb"><ol>{items}</ol></nav>\n')
_CRUMB = Template('<li><a href="{href}"><bdi>{name}</bdi></a></li>')
_HERE = Template('<li aria-current="page"><bdi>{name}</bdi></li>')
_HEADING = Template('<h1 tabindex="-1"><bdi>{text}</bdi></h1>\n')
_NOTE = Template('<p role="status">{text}</p>\n')

_BUCKETS = Template('<ul class="buckets">{items}</ul>\n')
_BUCKET = Template('<li><a href="/{name}/">{name}</a></li>')
_FAILURE = Template("<p>{message}</p>\n<p>{code}, status {status}</p>\n")
_PAGING = Template('<p class="paging">{links}</p>\n')
_PAGING_LINK = Template('<a href="{href}">{text}</a> ')

_SEARCH = Template(
    '<form role="search" method="get" action="{action}">'
    '<label for="find">Search names below here</label> '
    '<span><input type="search" id="find" name="find" value="{find}" maxlength="200" required> '
    '<button type="submit">Search</button></span></form>\n'
)

_TABLE = Template(
    '<div class="list"><table data-sortable><caption>{caption}</caption>\n'
    '<thead><tr><th scope="col" data-sort="name" aria-sort="ascending">Name</th>'
    '<th scope="col" data-sort="size" class="number">Size</th>'
    '<th scope="col" data-sort="date" class="date">Modified (UTC)</th>'
    '<th scope="col"><span class="hidden">Download</span></th></tr></thead>\n'
    "<tbody>\n{rows}</tbody></table></div>\n"
)
_ROW = Template(
    '<tr data-size="{bytes}"><th scope="row"{kind}>{name}</th><td class="number">{size}</td>'
    '<td class="date">{date}</td><td>{download}</td></tr>\n'
)
_LINK = Template('<a href="{href}"><bdi>{name}</bdi></a>')
_NO_LINK = Template('<bdi title="A browser cannot ask for this name">{name}</bdi>')
_SIZE = Template('<span title="{bytes} bytes">{text}</span>')
_TIME = Template('<time datetime="{iso}">{text}</time>')
_DOWNLOAD = Template(
    '<a class="download" href="{href}" download aria-label="Download {name}">'
    '<span aria-hidden="true">\u2193</span></a>'
)

_SAVE = Template('<p><a class="button download" href="{href}" download>Download</a></p>\n')
_SIGN_IN = Template(
    '<h1 tabindex="-1">Sign in</h1>\n'
    "<p>Everything here is for those who have an access key. The secret does not leave this page: "
    "it signs what the page asks for, and is forgotten when the page is closed or loaded anew.</p>"
    '<form id="sign-in" data-region="{region}">'
    '<p><label for="access-key">Access key ID</label>'
    '<input id="access-key" autocomplete="username" autocapitalize="none" spellcheck="false" '
    "required></p>"
    '<p><label for="secret">Secret access key</label>'
    '<input id="secret" type="password" autocomplete="current-password" required></p>'
    '<p><button type="submit">Sign in</button></p>'
    '<p role="alert" id="refusal"></p></form>\n'
    "<noscript><p>This needs JavaScript, which signs the requests.</p></noscript>\n"
)
_FACTS = Template("<dl>{items}</dl>\n")
_FACT = Template("<div><dt>{name}</dt><dd>{value}</dd></div>")
_COMMAND = Template(
    '<div class="command"><span id="command-label">With the AWS CLI</span>'
    '<code tabindex="0" role="group" aria-labelledby="command-label">{text}</code>'
    '<button type="button" data-copy aria-live="polite" hidden>Copy the command</button></div>\n'
)


def breadcrumbs(request: PageRequest) -> Markup:
    """Return links to everything above the request's key."""
    found: list[tuple[str, str | None]] = []
    if not request.is_named_by_host:
        found.append(("Buckets", "/"))
    if request.bucket:
        found.append((request.bucket, request.href("")))
    parts = request.key.removesuffix("/").split("/") if request.key else []
    deep = max(0, len(parts) - _MAX_LEVELS)
    above = "".join(f"{part}/" for part in parts[:deep])
    if deep:
        found.append(("\u2026", request.href(above)))
    for part in parts[deep:]:
        above += f"{part}/"
        found.append((shown(part) or "/", request.href(above)))
    *links, (here, _) = found
    items = [_CRUMB(name=name, href=href or "") for name, href in links]
    return _CRUMBS(items=joined([*items, _HERE(name=here)]))


def heading(text: str) -> Markup:
    """Return the heading of a page."""
    return _HEADING(text=shown(text))


def note(text: str) -> Markup:
    """Return a sentence that screen readers read out."""
    return _NOTE(text=text)


def buckets(names: Iterable[str]) -> Markup:
    """Return a list of buckets."""
    return _BUCKETS(items=joined(_BUCKET(name=name) for name in names))


def failure(error: S3Error) -> Markup:
    """Return what an error says."""
    title = "Not found" if error.status == 404 else "This cannot be shown"
    told = _FAILURE(message=error.message, code=error.code, status=error.status)
    return joined([heading(title), told])


def sign_in(region: str) -> Markup:
    """Return the form whose script signs requests with a key; nothing of it is sent."""
    return _SIGN_IN(region=region)


def paging(
    request: PageRequest,
    query: Mapping[str, str] | None,
    *,
    is_first: bool,
    following: str = "Next page",
) -> Markup:
    """Return links to the first page, and by a query to the following one."""
    links = [] if is_first else [(request.href(request.key), "First page")]
    if query is not None:
        # What is not UTF-8 in a name to find is in no name, either.
        encoded = urlencode(query, errors="replace")
        links.append((request.href(request.key, f"?{encoded}"), following))
    made = joined(_PAGING_LINK(href=href or "", text=text) for href, text in links)
    return _PAGING(links=made) if made else made


def search_form(request: PageRequest, find: str = "") -> Markup:
    """Return the form that searches below the request's prefix."""
    return _SEARCH(action=request.href(request.key) or "", find=find)


def table(request: PageRequest, entries: Sequence[Entry], *, caption: str, below: str) -> Markup:
    """Return the entries, a row each, named by their keys without `below`."""
    if not entries:
        return note(caption)
    rows = joined(_row(request, entry, entry.key.removeprefix(below)) for entry in entries)
    return _TABLE(caption=caption, rows=rows)


def _row(request: PageRequest, entry: Entry, name: str) -> Markup:
    name = shown(name)
    if entry.size is None:
        return _ROW(
            bytes=-1,
            kind=Markup(' class="directory"'),
            name=_linked(request.href(entry.key), name),
            size="",
            date="",
            download="",
        )
    href = request.href(entry.key)
    return _ROW(
        bytes=entry.size,
        kind="",
        name=_linked(href and f"{href}?preview", name),
        size=size(entry.size),
        date=_TIME(iso=entry.modified, text=entry.modified[:16].replace("T", " ")),
        download="" if href is None else _DOWNLOAD(href=href, name=name),
    )


def _linked(href: str | None, name: str) -> Markup:
    return _NO_LINK(name=name) if href is None else _LINK(href=href, name=name)


def size(count: int) -> Markup:
    """Return a number of bytes as people read it, with the exact one behind it."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    text = f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
    return _SIZE(bytes=count, text=text)


def facts(found: Mapping[str, str | Markup]) -> Markup:
    """Return a list of terms and their values."""
    return _FACTS(items=joined(_FACT(name=name, value=found[name]) for name in found))


def download(request: PageRequest) -> Markup:
    """Return the link that saves the request's object."""
    return _SAVE(href=request.href(request.key) or "")


def command(request: PageRequest, scheme: str, *words: str) -> Markup:
    """Return the command of the AWS CLI with these words, to be copied."""
    unsigned = [] if request.is_signed else ["--no-sign-request"]
    text = shell_command(
        ["aws", "--endpoint-url", f"{scheme}://{request.endpoint}", *unsigned, *words]
    )
    return _COMMAND(text=text)
