"""The page in a real Chromium: what it says, by keyboard too, in three widths, light and dark."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_model import TOKEN, started

from hemf.serving import page as pages

WIDTHS = (390, 820, 1280)
REFUSED = "Failed to load resource: the server responded with a status of 422"
FOLDER = Path(pages.__file__).parent


@pytest.fixture
def opened(browser, server) -> Iterator:
    """Opens the page; at the end of the test nothing may have failed in it, and no other host was asked."""
    faults, contexts = [], []

    def page(url: str = server.url, width: int = 1280, scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        one = context.new_page()
        one.set_default_timeout(60_000)
        one.on("pageerror", lambda error: faults.append(str(error)))
        one.on("console", lambda said: faults.append(said.text))
        one.on("request", lambda asked: faults.append(asked.url) if strange(asked.url, url) else None)
        one.goto(url)
        return one

    yield page
    for context in contexts:
        context.close()
    assert [one for one in faults if not one.startswith(REFUSED)] == []


def strange(asked: str, url: str) -> bool:
    host = "/".join(url.split("/")[:3])
    return not asked.startswith((host, f"blob:{host}"))


def classified(page, pictures: list[Path]) -> None:
    """Give the page images, and wait until all are done and the first is explained."""
    page.set_input_files("#files", list(map(str, pictures)))
    page.wait_for_selector(f"#status:has-text('{len(pictures)} of {len(pictures)} images')")
    page.wait_for_selector("#heat:not([hidden])")


def faults_of_access(page) -> list[str]:
    """What axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['help']}: {[node['html'][:90] for node in one['nodes']]}" for one in found]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(w, s) for w in WIDTHS for s in ("light", "dark")])
def test_nothing_is_out_of_reach_or_out_of_sight(opened, pictures, width, scheme) -> None:
    page = opened(width=width, scheme=scheme)
    assert faults_of_access(page) == []
    classified(page, [pictures[0], pictures[-1]])
    assert faults_of_access(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]
    assert page.get_by_text("Research use only").is_visible()


def test_the_page_says_what_the_server_says(opened, server, pictures, files_of) -> None:
    import requests

    page = opened()
    classified(page, pictures)
    said = requests.post(f"{server.url}/predict", files=files_of(pictures)).json()["images"]
    rows = page.locator("#rows tbody tr")
    assert rows.count() == len(pictures)
    for row, one in zip(rows.all(), said, strict=True):
        assert row.locator("th").inner_text() == one["name"]
        assert row.locator("td").first.inner_text() == one["label"]
        assert ("The model abstains." in row.inner_text()) == one["abstain"]
        row.locator("button").click()
        assert one["label"] in page.locator("#verdict").inner_text()
        assert page.locator("#abstains").is_visible() == one["abstain"]
        assert page.locator("#bars tbody tr").count() == 3
    assert page.locator("#result-heading").evaluate("one => one === document.activeElement")
    assert "calibrated on 40 images of the split val" in page.locator("#calibration").inner_text()


def test_the_table_can_be_downloaded(opened, server, pictures, files_of) -> None:
    import requests

    page = opened()
    classified(page, pictures)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_bytes().decode())))
    said = requests.post(f"{server.url}/predict", files=files_of(pictures)).json()
    for row, one in zip(rows, said["images"], strict=True):
        assert (row["path"], row["prediction"]) == (one["name"], one["label"])
        assert json.loads(row["set"]) == one["set"]
        for name, share in one["probabilities"].items():  # sent one by one: in other batches
            assert abs(float(row[name]) - share) < 1e-6
        assert row["sha256"] == said["model"]["sha256"]


def test_the_heat_map_fades_and_shows_another_class(opened, pictures) -> None:
    page = opened()
    classified(page, pictures[:1])
    page.get_by_label("Opacity of the heat map").fill("25")
    assert page.locator("#heat").evaluate("one => getComputedStyle(one).opacity") == "0.25"
    page.get_by_label("Show evidence for").select_option("Übergang")
    page.wait_for_selector("#heat[alt$='where the model finds evidence for Übergang']")


def test_the_keyboard_reaches_everything(opened, pictures) -> None:
    page = opened()
    classified(page, pictures[:2])
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.id || document.activeElement.textContent)"))
    wanted = ["model", "files", "target", "opacity", pictures[0].name, pictures[1].name, "download", "clear"]
    places = [reached.index(one) for one in wanted]
    assert places == sorted(places)
    page.get_by_role("button", name=pictures[1].name).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#result-heading:text-is('Result for {pictures[1].name}')")
    page.get_by_role("button", name="Remove all images").press("Enter")
    assert not page.locator("#result").is_visible()


def test_a_file_that_is_no_image_says_so_in_its_row_and_its_name_is_text(opened, tmp_path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.png"
    file.write_text("hello")
    page = opened()
    page.set_input_files("#files", [str(file)])
    page.wait_for_selector("#rows td.problem:has-text('is not an image hemf reads')")
    assert page.locator("#rows th[scope=row]").inner_text() == file.name
    assert page.locator("#status").inner_text() == "1 of 1 images are classified, 1 of them could not be."
    assert not page.locator("#result").is_visible()
    assert page.locator("img").count() == 2


@pytest.mark.slow
def test_a_token_is_asked_for(browser, model, tmp_path, pictures) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with started(tmp_path / "server", str(model), "--token-file", str(tmp_path / "token")) as server:
        page = browser.new_context().new_page()
        page.set_default_timeout(60_000)
        page.goto(server.url)
        for given, words in (("wrong token 0123456789", "does not take this token"), (TOKEN, "")):
            page.wait_for_selector("#token-form:not([hidden])")
            page.get_by_label("Token of this server").fill(given)
            page.get_by_role("button", name="Use token").click()
            if words:
                page.wait_for_selector(f"#token-why:has-text('{words}')")
        classified(page, pictures[:1])
        page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_interface_is_described(opened, server, width) -> None:
    page = opened(f"{server.url}/docs", width=width)
    page.wait_for_selector("article:has-text('POST /v2/models/{name}/infer')")
    assert faults_of_access(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_text_is_there_and_used_and_nothing_is_inline() -> None:
    files = [file for file in FOLDER.iterdir() if file.suffix in (".html", ".js")]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    asked = set(re.findall(r"\{\{(\w+)\}\}", text)) | set(re.findall(r"\bsay\(\"(\w+)\"", text))
    assert asked <= pages.words().keys()
    assert pages.words().keys() <= set(re.findall(r"\w+", text))
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert not re.search(r"<script>|<style|\son\w+=|style=", text)
