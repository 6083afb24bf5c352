"""The page for people in headless Chromium: what they do, and what nobody can do to them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.support.images.trees import pack
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Request

OPTIONS = (
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    # Else it looks for hosts of its maker's.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP files.example 127.0.0.1",
)
ADMIN = ("ADMIN", "secret/of+admin=1")
READER = ("READER", "secret-of-reader")
KEYS = [
    {"id": ADMIN[0], "secret": ADMIN[1]},
    {"id": READER[0], "secret": READER[1], "prefixes": ["tree/docs/inner"]},
]
EVIL = "<script>document.title='ran'</script><h1 onclick='alert(1)'>evil</h1>"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60">'
    "<script>document.documentElement.dataset.ran=1</script>"
    '<rect width="80" height="60" fill="teal"/></svg>'
)
FILES = {
    "docs/README.md": "# Title\n\n* <b>not bold</b>\n",
    "docs/blob.bin": "\0" * 100_000,
    "docs/data.csv": "name,size\na,1\n",
    "docs/evil.html": EVIL,
    "docs/inner/deep/Readme.txt": "deep",
    "docs/picture.svg": SVG,
    **{f"many/{number:04}.txt": "x" * number for number in range(501)},
}
NOT_UTF8 = os.fsdecode(b"\xff\xfe")
ODD = {
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    "<script>alert(1)<script>.txt": "<script>alert(1)<script>.txt",
    "\"quotes' & more.txt": "\"quotes' & more.txt",
    "100%2F+a;b=c~!*().csv": "100%2F+a;b=c~!*().csv",
    "javascript:alert(1)": "javascript:alert(1)",
    "{text} ?#\\": "{text} ?#\\",
    "\u202egnp.exe": "\\u202egnp.exe",
    "new\nline": "new\\nline",
    "\x1b[31m": "\\x1b[31m",
    "日本語": "日本語",
    NOT_UTF8: "\\xff\\xfe",
}
"""Names, and how they are shown."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("page")
    for name, content in FILES.items() | {f"odd/{name}": name for name in ODD}.items():
        path = top / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(content))
    return pack(top / "tree", top / "tree.sqfs")


@pytest.fixture(scope="module")
def url(image: Path) -> Iterator[str]:
    """An endpoint for this machine, without access keys."""
    directory = image.parent
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with served("--map", f"tree={image}", environ=environ, log=directory / "log") as url:
        yield url


@pytest.fixture(scope="module")
def keyed_url(image: Path) -> Iterator[str]:
    """An endpoint with access keys."""
    directory = image.parent
    keys = directory / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps(KEYS))
    options = ("--map", f"tree={image}", "--keys-file", str(keys))
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with served(*options, environ=environ, log=directory / "keyed.log") as url:
        yield url
    log = (directory / "keyed.log").read_text()
    assert "secret" not in log
    assert "Signature=" not in log


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "Chromium is not installed: run `apt-get install chromium`"
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    expect.set_options(timeout=60_000)  # milliseconds; on a busy machine nothing is late
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def requests() -> list[Request]:
    """What the browser has sent."""
    return []


@pytest.fixture
def page(browser: Browser, requests: list[Request]) -> Iterator[Page]:
    """A window in which nothing fails, and that talks to the endpoint alone."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("request", lambda request: requests.extend([request]))
    yield page
    assert {urlsplit(request.url).hostname for request in requests} <= {"127.0.0.1"}
    assert [fault for fault in faults if "403 (Forbidden)" not in fault] == []
    context.close()


def follow(page: Page, name: str, heading: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


def names(page: Page) -> list[str]:
    return list(page.locator("tbody th").all_inner_texts())


def read_odd(page: Page, name: str) -> None:
    """Follow the link to a file whose content is its name, and read that."""
    follow(page, ODD[name], ODD[name])
    assert page.locator("pre").text_content() == os.fsencode(name).decode(errors="replace")


def sign_in(page: Page, key: tuple[str, str]) -> None:
    page.get_by_label("Access key ID").fill(key[0])
    page.get_by_label("Secret access key").fill(key[1])
    page.get_by_role("button", name="Sign in").click()


# ---- Without access keys -------------------------------------------------------------------------


def test_people_go_down_and_up_and_look_at_files(page: Page, url: str) -> None:
    page.goto(url)
    follow(page, "archive", "archive")
    follow(page, "tree/", "tree")
    follow(page, "docs/", "docs")
    assert names(page) == [
        *("README.md", "blob.bin", "data.csv", "evil.html", "inner/", "picture.svg")
    ]
    follow(page, "README.md", "README.md")
    assert page.locator("pre").inner_text() == FILES["docs/README.md"]
    follow(page, "docs", "docs")
    follow(page, "picture.svg", "picture.svg")
    page.wait_for_function("document.images[0].naturalWidth === 80")
    page.go_back()
    follow(page, "data.csv", "data.csv")
    assert page.locator("pre").inner_text() == FILES["docs/data.csv"]
    page.go_back()
    follow(page, "blob.bin", "blob.bin")
    expect(page.get_by_role("status")).to_have_text("This is not a text that can be shown here.")


def test_people_sort_what_is_shown(page: Page, url: str) -> None:
    page.goto(f"{url}/archive/tree/docs/")
    listed = names(page)
    size = page.get_by_role("button", name="Size")
    size.click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Size")
    assert (names(page)[0], names(page)[-1]) == ("inner/", "blob.bin")
    size.click()
    assert (names(page)[0], names(page)[-1]) == ("blob.bin", "inner/")
    page.get_by_role("button", name="Name").click()
    assert names(page) == listed
    page.goto(f"{url}/archive/tree/many/")
    expect(page.locator("caption")).to_contain_text("to sort is to sort this page")
    assert len(names(page)) == 500
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("caption")).to_contain_text("1 entry")
    assert names(page) == ["0500.txt"]


def test_people_search_names_below(page: Page, url: str) -> None:
    page.goto(f"{url}/archive/tree/")
    page.get_by_label("Search names below here").fill("readme")
    page.keyboard.press("Enter")
    expect(page.locator("caption")).to_contain_text("2 found")
    assert names(page) == ["docs/README.md", "docs/inner/deep/Readme.txt"]


def test_people_save_files_and_copy_commands(page: Page, url: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{url}/archive/tree/docs/evil.html?preview")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "evil.html"
    assert saved.value.path().read_text() == EVIL
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == (
        f"aws --endpoint-url {url} --no-sign-request s3 cp s3://archive/tree/docs/evil.html ."
    )


def test_odd_names_are_inert_and_lead_to_their_files(page: Page, url: str) -> None:
    page.goto(f"{url}/archive/tree/odd/")
    assert sorted(names(page)) == sorted(ODD.values())
    for name in (*(name for name in ODD if "<" in name), "new\nline", NOT_UTF8):
        read_odd(page, name)
        page.go_back()


def test_a_file_that_is_opened_runs_no_script_and_is_not_of_the_pages_origin(
    browser: Browser, url: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/archive/tree/docs/evil.html")
    assert page.get_by_role("heading").inner_text() == "evil"
    assert (page.title(), page.evaluate("origin")) == ("", "null")
    page.goto(f"{url}/archive/tree/docs/picture.svg")
    assert page.evaluate("[document.documentElement.dataset.ran, origin]") == [None, "null"]
    context.close()


def test_without_scripts_all_but_sorting_works(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/archive/tree/")
    expect(page.get_by_role("button")).to_have_text(["Search"])
    page.get_by_label("Search names below here").fill("DATA")
    page.get_by_role("button", name="Search").click()
    follow(page, "docs/data.csv", "data.csv")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.path().read_text() == FILES["docs/data.csv"]
    context.close()


# ---- With access keys ----------------------------------------------------------------------------


def test_people_sign_in_and_do_the_same(
    page: Page, keyed_url: str, requests: list[Request]
) -> None:
    page.goto(f"{keyed_url}/archive/tree/docs/")
    sign_in(page, (ADMIN[0], "wrong"))
    expect(page.get_by_role("alert")).to_contain_text("SignatureDoesNotMatch")
    sign_in(page, ADMIN)
    expect(page.get_by_role("heading", name="docs", exact=True)).to_be_focused()
    follow(page, "picture.svg", "picture.svg")
    page.wait_for_function("document.images[0].naturalWidth === 80")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "picture.svg"
    assert saved.value.path().read_text() == SVG
    page.go_back()
    expect(page.get_by_role("heading", name="docs", exact=True)).to_be_visible()
    follow(page, "tree", "tree")
    page.get_by_label("Search names below here").fill("a;b=c~!*() +")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_contain_text("0 found")
    page.get_by_label("Search names below here").fill("readme")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("caption")).to_contain_text("2 found")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        *(0, 0, "")
    ]
    for request in requests:
        assert ADMIN[1] not in f"{request.url}{request.all_headers()}{request.post_data}"
        assert request.method == "GET"
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signed_odd_names_lead_to_their_files(page: Page, keyed_url: str) -> None:
    page.goto(f"{keyed_url}/archive/tree/odd/")
    sign_in(page, ADMIN)
    expect(page.get_by_role("heading", name="odd", exact=True)).to_be_visible()
    for name in ODD:
        read_odd(page, name)
        page.go_back()
        expect(page.get_by_role("heading", name="odd", exact=True)).to_be_visible()


def test_a_key_of_few_rights_is_led_to_what_it_may_read(page: Page, keyed_url: str) -> None:
    page.goto(keyed_url)
    sign_in(page, READER)
    for link, heading in (("archive", "archive"), ("tree/", "tree"), ("docs/", "docs")):
        follow(page, link, heading)
    assert names(page) == ["inner/"]
    follow(page, "inner/", "inner")
    page.get_by_label("Search names below here").fill("readme")
    page.keyboard.press("Enter")
    expect(page.locator("caption")).to_contain_text("1 found")


def test_where_others_could_change_the_page_nobody_signs_in(
    browser: Browser, keyed_url: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(keyed_url.replace("127.0.0.1", "files.example"))
    sign_in(page, ADMIN)
    expect(page.get_by_role("alert")).to_contain_text("https://")
    context.close()


# ---- For everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "colours"), [(390, "dark"), (1280, "light")])
def test_every_page_is_accessible_and_fits(
    browser: Browser, url: str, keyed_url: str, width: int, colours: str
) -> None:
    context = browser.new_context(
        color_scheme="dark" if colours == "dark" else "light",
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    targets = [
        *("/", "/archive/tree/docs/", "/archive/tree/odd/", "/archive/tree/?find=00"),
        *("/archive/tree/docs/README.md?preview", "/archive/tree/docs/picture.svg?preview"),
        "/nowhere/",
    ]
    for target in [*(url + target for target in targets), keyed_url]:
        page.goto(target)
        found = Axe().run(page)
        assert found.violations_count == 0, (target, found.generate_report())
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, target
    context.close()


def test_a_keyboard_reaches_everything_in_order(page: Page, url: str) -> None:
    page.goto(f"{url}/archive/tree/docs/")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(focused.inner_text() or focused.get_attribute("id"))
        assert focused.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    assert reached == [
        *("Skip to the content", "Buckets", "archive", "tree", "find", "Search", "Name", "Size")
    ]
    page.goto(f"{url}/archive/tree/docs/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Buckets")
