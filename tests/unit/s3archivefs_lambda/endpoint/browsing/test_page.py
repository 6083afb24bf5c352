"""What a browser sees of buckets, prefixes and objects, and what clients of S3 see beside it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.authentication import Verifier
from tests.support.adapter.asked_application import answer_of
from tests.support.adapter.browsed import HOST, browse, browsed, packed, seen
from tests.support.adapter.request_lines import logged_lines
from tests.support.adapter.signed_requests import CREDENTIALS, KEYS, SECRET, presigned, signed

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.credentials import Credentials

    from s3archivefs_lambda.endpoint.messages import HttpApplication
    from tests.support.adapter.asked_application import Answer

FILES = {
    b"a b&c.txt": b"<b>text</b> &amp; more\n",
    b"blob.bin": b"\0\1\2",
    b"empty": b"",
    b"index.html": b"<script>alert(1)</script>",
    b"inner/deep/x.csv": b"a,b\n1,2\n",
    b"picture.svg": b"<svg/>",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(FILES, tmp_path_factory.mktemp("page") / "image")


@pytest.fixture(scope="module")
def app(image: Path) -> HttpApplication:
    return browsed({"docs": image})


# ---- What is shown -------------------------------------------------------------------------------


def test_buckets_are_listed(app: HttpApplication) -> None:
    found = seen(browse(app, "/"))
    assert "Buckets" in found.main
    assert "/archive/" in found.links


@pytest.mark.parametrize("target", ["/archive", "/archive/"])
def test_a_bucket_is_listed_with_or_without_a_slash(app: HttpApplication, target: str) -> None:
    (row,) = seen(browse(app, target)).rows
    assert (row.name, row.href, row.size) == ("docs/", "/archive/docs/", "")


def test_a_prefix_is_listed_with_links_sizes_and_downloads(app: HttpApplication) -> None:
    found = seen(browse(app, "/archive/docs/"))
    assert [(row.name, row.href, row.size, row.download) for row in found.rows[:2]] == [
        ("a b&c.txt", "/archive/docs/a%20b%26c.txt?preview", "23 B", "/archive/docs/a%20b%26c.txt"),
        ("blob.bin", "/archive/docs/blob.bin?preview", "3 B", "/archive/docs/blob.bin"),
    ]
    assert ("inner/", "/archive/docs/inner/", "", None) in found.rows
    assert found.links[1:3] == ["/", "/archive/"]
    assert "6 entries" in found.main


def test_a_host_that_names_the_bucket_is_at_its_root(app: HttpApplication) -> None:
    answer = browse(app, "/docs/inner/", host="archive.localhost:9000")
    found = seen(answer)
    assert [row.href for row in found.rows] == ["/docs/inner/deep/"]
    assert found.links[1:3] == ["/", "/docs/"]
    assert "--endpoint-url http://localhost:9000 " in found.main


def test_a_directory_that_is_not_there_has_no_entries(app: HttpApplication) -> None:
    found = seen(browse(app, "/archive/docs/nowhere/"))
    assert found.rows == []
    assert "Nothing is here" in found.main


def test_a_large_directory_is_shown_in_pages(tmp_path: Path) -> None:
    names = [b"%04d" % number for number in range(1203)]
    app = browsed({"": packed(dict.fromkeys(names, b""), tmp_path / "image")})
    target, shown = "/archive/", []
    for page in range(3):
        answer = browse(app, target)
        assert len(answer.body) < 250_000
        found = seen(answer)
        shown += [row.name for row in found.rows]
        assert len(found.rows) <= 500
        assert "to sort is to sort this page" in found.main
        assert ("/archive/" in found.links[2:]) is (page > 0)  # to the first page
        following = [link for link in found.links if link.startswith("/archive/?after=")]
        target = following[0] if following else ""
    assert target == ""
    assert shown == [name.decode() for name in names]


def test_a_search_lists_what_it_finds_by_its_path_below(app: HttpApplication) -> None:
    found = seen(browse(app, "/archive/docs/?find=X.C"))
    assert [(row.name, row.href) for row in found.rows] == [
        ("inner/deep/x.csv", "/archive/docs/inner/deep/x.csv?preview")
    ]
    assert "1 found among 6 objects" in found.main


def test_a_long_search_goes_on_where_it_ended(tmp_path: Path) -> None:
    names = [b"%04d" % number for number in range(501)]
    app = browsed({"": packed(dict.fromkeys(names, b""), tmp_path / "image")})
    found = seen(browse(app, "/archive/?find=0"))
    shown = [row.name for row in found.rows]
    assert found.text("caption") == [
        "500 found among 500 objects of this part of the search; to sort is to sort this part"
    ]
    (link,) = [link for link in found.links if link.startswith("/archive/?find=0&after=")]
    found = seen(browse(app, link))
    assert [*shown, *(row.name for row in found.rows)] == [name.decode() for name in names]


@pytest.mark.parametrize(
    ("target", "status", "told"),
    [
        ("/nowhere/", 404, "NoSuchBucket"),
        ("/archive/docs/none?preview", 404, "NoSuchKey"),
        ("/archive/docs/?after=none", 400, "InvalidArgument"),
        ("/archive/docs/?find=a&after=none", 400, "InvalidArgument"),
    ],
)
def test_errors_are_pages(
    app: HttpApplication,
    caplog: pytest.LogCaptureFixture,
    target: str,
    status: int,
    told: str,
) -> None:
    caplog.set_level("INFO", "s3archivefs.requests")
    answer = browse(app, target)
    assert (answer.status, told in seen(answer).main) == (status, True)
    lines = logged_lines(caplog)
    assert [(line["operation"], line["error"]) for line in lines] == [("Browse", told)]


# ---- What cannot be done by names and contents ---------------------------------------------------

NASTY = [
    *(b"<", b">", b'"', b"'", b"&", b"script", b"</script>", b"javascript:", b"onerror=", b"<!--"),
    *(b"\n", b"\r", b"\x1b[0m", "\u202e".encode(), "\u2066".encode(), b"\xff", b"\xc3\xbc", b" "),
    *(b"..", b".", b"%", b"?", b"#", b"{text}", b"]]>", b"-->", b"\\"),
]
NAMES = (
    (
        st.lists(st.sampled_from(NASTY), min_size=1, max_size=8).map(b"".join)
        | st.binary(min_size=1, max_size=30)
    )
    .map(lambda name: name.translate(None, b"/\0"))
    .filter(lambda name: name not in {b"", b".", b".."})
)
TAGS = {
    *("html", "head", "meta", "title", "link", "style", "body", "a", "header", "span", "main"),
    *("nav", "ol", "li", "bdi", "h1", "form", "label", "input", "button", "div", "table", "tr"),
    *("caption", "thead", "tbody", "th", "td", "time", "code", "script", "p", "dl", "dt", "dd"),
    *("h2", "pre"),
}


@pytest.mark.property
@settings(max_examples=40)
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True), content=st.binary(max_size=50))
def test_any_name_and_content_are_inert(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes], content: bytes
) -> None:
    image = tmp_path_factory.mktemp("drawn") / "image"
    app = browsed({"": packed({b"d/" + name: content for name in names}, image)})
    answer = browse(app, "/archive/d/")
    found = seen(answer)
    linked = sorted(
        unquote_to_bytes(urlsplit(row.href).path).removeprefix(b"/archive/d/")
        for row in found.rows
        if row.href is not None
    )
    assert linked == sorted(names)
    pages = [answer, *(browse(app, f"/archive/d/{quote(name)}?preview") for name in names)]
    pages += [browse(app, f"/archive/?find={quote(name)}") for name in names]
    for page in pages:
        assert page.status == 200
        found = seen(page)
        assert {tag for tag, _ in found.tags} <= TAGS
        assert len(found.all("script")) == 1
        assert all(link.startswith(("/", "#")) for link in found.links)
        assert not any(name.startswith("on") for _, each in found.tags for name in each)


def test_the_page_is_sent_in_gzip_to_browsers_that_take_it(app: HttpApplication) -> None:
    answer = browse(app, "/archive/docs/", more=(("accept-encoding", "gzip, br"),))
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == browse(app, "/archive/docs/").body


@pytest.mark.parametrize(
    "target", ["/archive/docs/index.html", "/archive/docs/picture.svg", "/no/k"]
)
def test_what_is_not_the_page_has_no_origin_and_no_scripts_in_a_browser(
    app: HttpApplication, target: str
) -> None:
    for headers in (browse(app, target).headers, answer_of(app, target, "HEAD").headers):
        assert headers["content-security-policy"] == "sandbox"
        assert headers["x-content-type-options"] == "nosniff"


# ---- Clients of S3 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["/", "/archive", "/archive/", "/archive?list-type=2", "/archive?list-type=2&prefix=docs/"],
)
def test_clients_get_xml(app: HttpApplication, target: str) -> None:
    for accept in ("*/*", "", "application/xml"):
        assert browse(app, target, accept=accept).headers["content-type"] == "application/xml"
    if "?" in target:
        assert browse(app, target).headers["content-type"] == "application/xml"


def test_objects_are_the_same_to_browsers_and_clients(app: HttpApplication) -> None:
    for name, content in FILES.items():
        assert browse(app, f"/archive/docs/{quote(name)}").body == content


def test_other_hosts_than_this_machine_get_nothing(app: HttpApplication) -> None:
    assert browse(app, "/archive/", host="attacker.example").error["Code"] == "AccessDenied"


# ---- With access keys ----------------------------------------------------------------------------

READER = AccessKey("READER", "secret of reader", {"archive": ("docs/inner/", "other/")})


@pytest.fixture(scope="module")
def keyed(image: Path) -> HttpApplication:
    keys = AccessKeys([*KEYS, READER])
    return browsed({"docs": image}, verifier=Verifier(keys, region="eu-west-1"))


def signed_in(app: HttpApplication, target: str, credentials: Credentials = CREDENTIALS) -> Answer:
    headers = signed(target, credentials=credentials, host=HOST).headers
    return browse(app, target, more=tuple(headers.items())[1:])


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/archive/",
        "/archive/docs/",
        "/nowhere/",
        "/archive/docs/none?preview",
        "/archive/?find=a",
    ],
)
def test_unsigned_everything_is_one_form_to_sign_in(
    keyed: HttpApplication, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    caplog.set_level("INFO", "s3archivefs.requests")
    answer = browse(keyed, target)
    assert logged_lines(caplog)[0]["operation"] == "SignIn"
    assert answer.status == 200
    assert answer.body == browse(keyed, "/").body
    found = seen(answer)
    assert found.all("form")[0].keys() == {"id", "data-region"}
    assert found.all("form")[0]["data-region"] == "eu-west-1"
    assert not any("name" in each for each in found.all("input"))  # a form sends what has one
    assert "form-action 'none'" in answer.headers["content-security-policy"]


def test_unsigned_objects_and_listings_are_refused(keyed: HttpApplication) -> None:
    for target in ("/archive/docs/empty", "/archive?list-type=2", "/archive/docs/?prefix=a"):
        assert browse(keyed, target).error["Code"] == "AccessDenied"


def test_signed_the_page_is_shown(keyed: HttpApplication) -> None:
    found = seen(signed_in(keyed, "/archive/docs/"))
    assert len(found.rows) == 6
    assert "--no-sign-request" not in found.main
    found = seen(signed_in(keyed, "/archive/docs/picture.svg?preview"))
    assert found.all("img") == [{"data-src": "/archive/docs/picture.svg", "alt": "picture.svg"}]


def test_a_wrong_signature_is_refused_as_by_s3(keyed: HttpApplication) -> None:
    wrong = type(CREDENTIALS)(CREDENTIALS.access_key, "wrong")
    assert signed_in(keyed, "/archive/docs/", wrong).error["Code"] == "SignatureDoesNotMatch"
    assert SECRET not in signed_in(keyed, "/archive/docs/").body.decode()


def test_a_presigned_listing_stays_a_listing(keyed: HttpApplication) -> None:
    target = presigned("/archive?list-type=2&prefix=docs/", host=HOST).target
    assert browse(keyed, target).headers["content-type"] == "application/xml"


def test_a_key_sees_the_way_to_what_it_may_read_and_no_more(keyed: HttpApplication) -> None:
    reader = type(CREDENTIALS)(READER.id, READER.secret)
    for target, names in (
        ("/archive/", ["docs/", "other/"]),
        ("/archive/docs/", ["inner/"]),
        ("/archive/docs/inner/", ["deep/"]),
        ("/archive/docs/inner/?find=x", ["deep/x.csv"]),
    ):
        answer = signed_in(keyed, target, reader)
        assert (answer.status, [row.name for row in seen(answer).rows]) == (200, names)
    for target in (
        *("/archive/docs/empty?preview", "/archive/docs/?find=x", "/archive/?find=x"),
        *("/archive/elsewhere/", "/archive/docs/innermost/"),
    ):
        answer = signed_in(keyed, target, reader)
        assert (answer.status, "AccessDenied" in seen(answer).main) == (403, True)
