"""Listings: what ceph/s3-tests asks in both versions, and the rules that it does not ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.parts.conformance.cases import Case, Scope
from tests.parts.conformance.keys import ODD_NAMES, SETS
from tests.parts.conformance.listing_cases import ListingCase, Page
from tests.parts.conformance.wire import Request, anonymous

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def both(
    name: str, keys: str, *pages: Page, later: Mapping[str, str] | None = None, **query: str
) -> Iterator[ListingCase]:
    """A case of ceph/s3-tests in version 1 and in version 2; `_` stands for `-` in parameters.

    `after` is the marker of the one and start-after of the other.
    """
    for version, after, stem in ((1, "marker", "list"), (2, "start-after", "listv2")):
        parameters = {after if word == "after" else word: text for word, text in _dashed(query)}
        yield ListingCase(
            id=f"test_bucket_{stem}_{name.replace('AFTER', after.replace('-', ''))}",
            set=keys,
            version=version,
            query=parameters,
            later=later,
            pages=pages,
        )


def listing(
    case: str,
    keys: str,
    *pages: Page,
    later: Mapping[str, str] | None = None,
    version: int = 2,
    scope: Scope = Scope.ANY,
    is_truncated: bool = False,
    **query: str,
) -> ListingCase:
    """A case in one version."""
    return ListingCase(
        id=case,
        set=keys,
        version=version,
        query=dict(_dashed(query)),
        later=later,
        pages=pages,
        scope=scope,
        is_truncated=is_truncated,
    )


def refused(
    case: str, message: str, argument: str, value: str, *, version: int = 2, **query: str
) -> Case:
    """A listing that is refused for the value of an argument."""
    return Case(
        id=case,
        request=Request(
            query=({"list-type": "2"} if version == 2 else {})
            | (dict(_dashed(query)) or {argument: value})
        ),
        status=400,
        code="InvalidArgument",
        message=message,
        details={"ArgumentName": argument, "ArgumentValue": value},
    )


def _dashed(query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        yield name.replace("_", "-"), value


def page(*keys: str, prefixes: tuple[str, ...] = ()) -> Page:
    """A page of keys and prefixes."""
    return Page(keys, prefixes)


def whole(keys: str) -> Page:
    """All keys of a set."""
    return Page(tuple(sorted(SETS[keys], key=str.encode)))


NOT_INTEGER = "Provided max-keys not an integer or within integer range"
NEGATIVE = "Argument maxKeys must be an integer between 0 and 2147483647"
NOT_AN_ENCODING = "Invalid Encoding Method specified in Request"
WRONG_TOKEN = "The continuation token provided is incorrect"

# ---- ceph/s3-tests -------------------------------------------------------------------------------

CEPH_LISTINGS = (
    *both("many", "many", page("bar", "baz"), page("foo"), max_keys="2"),
    *both("delimiter_basic", "basic", page("asdf", prefixes=("foo/", "quux/")), delimiter="/"),
    *both(
        "encoding_basic",
        "encoding",
        page("asdf+b", prefixes=("foo+1/", "foo/", "quux ab/")),
        delimiter="/",
        encoding_type="url",
    ),
    *both(
        "delimiter_prefix",
        "delimiter-prefix",
        page("asdf"),
        page(prefixes=("boo/",)),
        page(prefixes=("cquux/",)),
        delimiter="/",
        max_keys="1",
    ),
    *both(
        "delimiter_prefix_underscore",
        "underscore",
        page("_obj1_"),
        page(prefixes=("_under1/",)),
        page(prefixes=("_under2/",)),
        delimiter="/",
        max_keys="1",
    ),
    *both("delimiter_alt", "alt", page("foo", prefixes=("ba", "ca")), delimiter="a"),
    *both("delimiter_percentage", "percentage", page("foo", prefixes=("b%", "c%")), delimiter="%"),
    *both("delimiter_whitespace", "whitespace", page("foo", prefixes=("b ", "c ")), delimiter=" "),
    *both("delimiter_dot", "dot", page("foo", prefixes=("b.", "c.")), delimiter="."),
    *both("delimiter_unreadable", "alt", whole("alt"), delimiter="\n"),
    *both("delimiter_empty", "alt", whole("alt"), delimiter=""),
    *both("delimiter_none", "alt", whole("alt")),
    *both("delimiter_not_exist", "alt", whole("alt"), delimiter="/"),
    *both("prefix_basic", "prefix", page("foo/bar", "foo/baz"), prefix="foo/"),
    *both("prefix_alt", "prefix-alt", page("bar", "baz"), prefix="ba"),
    *both("prefix_empty", "prefix", whole("prefix"), prefix=""),
    *both("prefix_none", "prefix", whole("prefix")),
    *both("prefix_not_exist", "prefix", page(), prefix="d"),
    *both("prefix_unreadable", "prefix", page(), prefix="\n"),
    *both(
        "prefix_delimiter_basic",
        "prefix-delimiter",
        page("foo/bar", prefixes=("foo/baz/",)),
        prefix="foo/",
        delimiter="/",
    ),
    *both(
        "prefix_delimiter_alt",
        "prefix-delimiter-alt",
        page("bar", prefixes=("baza",)),
        prefix="ba",
        delimiter="a",
    ),
    *both("prefix_delimiter_prefix_not_exist", "nested", page(), prefix="/", delimiter="d"),
    *both(
        "prefix_delimiter_delimiter_not_exist",
        "nested",
        page("b/a/c", "b/a/g", "b/a/r"),
        prefix="b",
        delimiter="z",
    ),
    *both(
        "prefix_delimiter_prefix_delimiter_not_exist", "nested", page(), prefix="y", delimiter="z"
    ),
    *both("maxkeys_one", "four", page("bar"), page("baz", "foo", "quxx"), max_keys="1", later={}),
    *both("maxkeys_zero", "four", page(), max_keys="0"),
    *both("maxkeys_none", "four", whole("four")),
    *both("AFTER_unreadable", "four", whole("four"), after="\n"),
    *both("AFTER_not_in_list", "four", page("foo", "quxx"), after="blah"),
    *both("AFTER_after_list", "four", page(), after="zzz"),
    listing("test_bucket_list_empty", "empty", page(), version=1),
    listing("test_bucket_list_marker_none", "four", whole("four"), version=1),
    listing("test_bucket_list_marker_empty", "four", whole("four"), version=1, marker=""),
    listing(
        "test_bucket_list_delimiter_not_skip_special",
        "special",
        page("1999", "1999#", "1999+", "2000", prefixes=("0/",)),
        version=1,
        delimiter="/",
        max_keys="100",
    ),
    listing(
        "test_bucket_list_special_prefix",
        "special-prefix",
        page("_bla/1", "_bla/2", "_bla/3", "_bla/4"),
        version=1,
        prefix="_bla/",
    ),
    listing("test_basic_key_count", "count", whole("count")),
    listing(
        "test_bucket_listv2_continuationtoken",
        "four",
        page("bar"),
        page("baz", "foo", "quxx"),
        max_keys="1",
        later={},
    ),
    # AWS does not echo StartAfter beside a token; ceph/s3-tests expects it.
    listing(
        "test_bucket_listv2_both_continuationtoken_startafter",
        "four",
        page("baz"),
        page("foo", "quxx"),
        max_keys="1",
        start_after="bar",
        later={"start-after": "bar"},
    ),
    listing(
        "test_bucket_listv2_fetchowner_notempty", "prefix", whole("prefix"), fetch_owner="true"
    ),
    listing("test_bucket_listv2_fetchowner_defaultempty", "prefix", whole("prefix")),
    listing("test_bucket_listv2_fetchowner_empty", "prefix", whole("prefix"), fetch_owner="false"),
    ListingCase(
        id="test_bucket_list_objects_anonymous",
        set="many",
        version=1,
        pages=(whole("many"),),
        scope=Scope.OPEN,
        auth=anonymous,
    ),
    ListingCase(
        id="test_bucket_listv2_objects_anonymous",
        set="many",
        pages=(whole("many"),),
        scope=Scope.OPEN,
        auth=anonymous,
    ),
)

# ---- Further rules -------------------------------------------------------------------------------

LISTINGS = (
    *CEPH_LISTINGS,
    *both(
        "delimiter_prefix two a page",
        "delimiter-prefix",
        page("asdf", prefixes=("boo/",)),
        page(prefixes=("cquux/",)),
        delimiter="/",
        max_keys="2",
    ),
    *both(
        "delimiter_prefix below a prefix",
        "delimiter-prefix",
        page("boo/bar"),
        page(prefixes=("boo/baz/",)),
        prefix="boo/",
        delimiter="/",
        max_keys="1",
    ),
    *both(
        "delimiter_prefix_underscore below a prefix",
        "underscore",
        page("_under1/bar", prefixes=("_under1/baz/",)),
        prefix="_under1/",
        delimiter="/",
        max_keys="2",
    ),
    # ---- order
    listing("keys are in byte order of the whole key", "order", whole("order")),
    listing(
        "prefixes stand among the keys where theirs would",
        "order",
        page("a!", "a-b"),
        page("a.b", prefixes=("a/",)),
        page("a0", "ab"),
        page("b", "ü"),
        page("\uff5e", "\U0001f600"),
        delimiter="/",
        max_keys="2",
    ),
    listing(
        "pages of one key go through all", "order", *map(page, whole("order").keys), max_keys="1"
    ),
    listing(
        "the whole bucket has a root",
        "",
        page(prefixes=("alt/", "basic/")),
        page(prefixes=("count/", "delimiter-prefix/")),
        delimiter="/",
        max_keys="2",
        is_truncated=True,
    ),
    # ---- max-keys
    listing("max-keys above 1000 gives 1000", "four", whole("four"), max_keys="2000"),
    # ---- encoding-type
    listing(
        "prefix, delimiter and start-after are encoded",
        "encoding",
        page(prefixes=("quux ",)),
        prefix="q",
        delimiter=" ",
        start_after="foo+1 ü",
        encoding_type="url",
    ),
    listing("keys beyond ASCII are encoded", "order", whole("order"), encoding_type="url"),
    listing(
        "keys beyond XML and UTF-8 are encoded",
        "odd",
        page(*ODD_NAMES),
        scope=Scope.OURS,
        encoding_type="url",
    ),
    # ---- continuation-token and start-after
    listing("start-after is exclusive", "four", page("foo", "quxx"), start_after="baz"),
    listing(
        "start-after below the prefix has no effect",
        "prefix",
        page("foo/bar", "foo/baz"),
        prefix="foo/",
        start_after="a",
    ),
    listing(
        "start-after above the prefix leaves nothing",
        "prefix",
        page(),
        prefix="foo/",
        start_after="g",
    ),
    # ---- prefix and delimiter
    listing("a prefix may be a key", "order", page("a/x"), prefix="a/x"),
    listing("a prefix is not a directory", "order", page("ab"), prefix="ab"),
    listing(
        "a delimiter of several characters",
        "separators",
        page("a:d", "x%2Fy", "x%2Fz", "x-y-z", prefixes=("a::",)),
        delimiter="::",
    ),
    listing(
        "a delimiter that looks encoded",
        "separators",
        page("a::b", "a::c", "a:d", "x-y-z", prefixes=("x%2F",)),
        delimiter="%2F",
    ),
    listing(
        "a delimiter counts behind the prefix only",
        "separators",
        page(prefixes=("x-y-",)),
        prefix="x-",
        delimiter="-",
    ),
    listing(
        "a delimiter that goes over a slash",
        "nested",
        page("g", prefixes=("b/a/",)),
        delimiter="a/",
    ),
    # ---- common prefixes
    listing(
        "a prefix counts as one", "groups", page(prefixes=("folder/",)), delimiter="/", max_keys="1"
    ),
    listing(
        "a prefix is not repeated on the next page",
        "groups",
        page(prefixes=("folder/aSubfolder/",)),
        page("folder/file1"),
        prefix="folder/",
        delimiter="/",
        max_keys="1",
    ),
    listing(
        "a marker inside a group skips it",
        "groups",
        page("folder/file1"),
        version=1,
        prefix="folder/",
        delimiter="/",
        marker="folder/aSubfolder/subFile1",
    ),
    listing(
        "a list-type other than 2 is version 1",
        "alt",
        whole("alt"),
        version=1,
        scope=Scope.SIGNED,
        list_type="3",
    ),
    # ---- what a file tree has
    listing(
        "symlinks to directories and to nowhere are not listed",
        "links",
        page("file", "target/leaf"),
        scope=Scope.OURS,
    ),
)

REFUSED = (
    refused("max-keys is no integer", NOT_INTEGER, "max-keys", "abc"),
    refused("max-keys is negative", NEGATIVE, "maxKeys", "-1", max_keys="-1"),
    refused("max-keys is beyond 32 bits", NOT_INTEGER, "max-keys", "2147483648"),
    refused(
        "max-keys is checked first",
        NOT_INTEGER,
        "max-keys",
        "abc",
        max_keys="abc",
        encoding_type="abc",
    ),
    refused("encoding-type is unknown", NOT_AN_ENCODING, "encoding-type", "abc"),
    refused("encoding-type is empty", NOT_AN_ENCODING, "encoding-type", ""),
    refused("test_bucket_listv2_continuationtoken_empty", WRONG_TOKEN, "continuation-token", ""),
    refused("continuation-token is malformed", WRONG_TOKEN, "continuation-token", "abc"),
    refused("test_bucket_list_maxkeys_invalid", NOT_INTEGER, "max-keys", "blah", version=1),
)
