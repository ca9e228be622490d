"""The preview follows the typing, and the form is saved as before."""

from contextlib import closing
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Console
from tests.browser.test_screens import SCHEMES, SCREENSHOTS, WIDTHS, picture, screen_of


def fill(page: Page) -> None:
    page.goto("/i/guangzhou/new-rule/")
    page.locator("select#id_source_namespace").select_option("prod")
    page.get_by_label("Target instance").select_option(label="frankfurt (eu-frankfurt)")
    page.get_by_label("Target namespace").fill("seen-before")


def test_the_preview_follows_what_is_typed(page: Page) -> None:
    fill(page)
    status = page.locator("#preview-count")
    expect(status).to_contain_text("9 repositories, 31 tags match.")
    expect(page.locator(".arrivals li")).to_have_count(20)
    expect(page.locator("#preview")).to_contain_text("And 11 more.")
    page.get_by_label("Repositories", exact=False).first.press_sequentially("web/.*", delay=20)
    expect(status).to_contain_text("2 repositories, 9 tags match.")
    expect(page.locator(".arrivals li").first).to_contain_text(
        "prod/web/frontend:latest → seen-before/web/frontend:latest"
    )
    expect(page.locator(".arrivals .mark").first).to_have_text("new")
    page.get_by_label("Repositories", exact=False).first.fill("web/(")
    expect(page.locator("#preview")).to_contain_text("at character 5: missing closing parenthesis")
    expect(page.locator("#preview mark")).to_have_text("(")
    expect(status).to_contain_text("No preview")


def test_on_a_small_screen_the_bar_tells_what_matches_and_leads_to_the_preview(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    fill(page)
    brief = page.locator("#preview-brief")
    expect(brief).to_have_text("9 repositories, 31 tags match")
    expect(brief).to_be_in_viewport()
    expect(page.locator("#preview-count")).not_to_be_in_viewport()
    brief.click()
    expect(page.locator("#preview-count")).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(brief).to_be_hidden()


def test_the_line_that_is_announced_stays_while_what_it_says_changes(page: Page) -> None:
    fill(page)
    count = page.locator("[role=status]", has_text="31 tags match.")
    expect(count).to_have_count(1)
    kept = count.element_handle()
    expressions = (("web/(", "No preview"), ("web/.*", "2 repositories, 9 tags match."))
    for expression, words in expressions:
        page.get_by_label("Repositories", exact=False).first.fill(expression)
        expect(page.locator("#preview-count")).to_contain_text(words)
    page.get_by_role("button", name="Refresh preview").click()
    expect(page.locator("#preview")).to_contain_text("names that begin with web/")
    assert kept and kept.evaluate("old => old === document.getElementById('preview-count') && old.isConnected")
    assert page.locator("#preview [role], #preview [aria-live]").count() == 0


def test_only_the_fields_that_it_depends_on_start_a_look(page: Page) -> None:
    """The pause that starts one passes when the test says so, however busy the machine is."""
    page.clock.install()
    fill(page)
    expect(page.locator("#preview-count")).to_contain_text("31 tags match.")
    page.clock.fast_forward(1000)
    page.clock.pause_at(datetime.now() + timedelta(minutes=5))
    page.wait_for_load_state("networkidle")
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.url) if request.url.endswith("/preview/") else None)
    page.get_by_label("Name", exact=True).fill("web")
    page.get_by_label("Description").fill("what the shop needs")
    page.get_by_label("Workers at once").fill("3")
    page.get_by_label("Workers at once").press("Tab")
    page.clock.run_for(1000)
    assert looks == []
    page.get_by_label("Exclude tags").fill("v.*")
    page.get_by_label("Exclude tags").press("Tab")
    page.get_by_label("Images").uncheck()
    with page.expect_response("**/preview/"):
        page.clock.run_for(1000)
    page.clock.run_for(1000)
    assert len(looks) == 1
    page.get_by_label("Overwrite").check()
    with page.expect_response("**/preview/"):
        page.clock.run_for(1000)
    assert len(looks) == 2


def box(page: Page, selector: str) -> dict[str, float]:
    found = page.locator(selector).bounding_box()
    assert found
    return {"top": found["y"], "left": found["x"], "right": found["x"] + found["width"], "height": found["height"]}


def test_the_preview_stands_beside_the_fields_and_stays_in_view(page: Page) -> None:
    fill(page)
    expect(page.locator("#preview-count")).to_contain_text("31 tags match.")
    for width in (1280, 1100):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("scrollTo(0, 0)")
        fields, glance = box(page, ".fields"), box(page, ".glance")
        assert glance["left"] >= fields["right"] and abs(glance["top"] - fields["top"]) < 1
        assert box(page, "#rule-form > .buttons")["left"] == fields["left"]
        page.get_by_label("Workers at once").scroll_into_view_if_needed()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        header = box(page, ".top")
        glance = box(page, ".glance")
        assert header["height"] <= glance["top"] < 100 and glance["height"] <= 800 - glance["top"]
    for width in (1099, 360):
        page.set_viewport_size({"width": width, "height": 800})
        fields, glance = box(page, ".fields"), box(page, ".glance")
        assert glance["left"] == fields["left"] and glance["top"] >= fields["top"] + fields["height"]


@pytest.mark.parametrize("script", [True, False])
def test_enter_in_a_field_saves_the_rule(script: bool, page: Page, browser: Browser, console: Console) -> None:
    """The preview has a button of its own, which comes before OK."""
    context = browser.new_context(
        storage_state=page.context.storage_state(), base_url=console.url, java_script_enabled=script
    )
    with closing(context):
        form = context.new_page()
        fill(form)
        name = f"entered-{'live' if script else 'plain'}"
        form.get_by_label("Name", exact=True).fill(name)
        form.get_by_label("Name", exact=True).press("Enter")
        expect(form).to_have_url(f"{console.url}/i/guangzhou/rules/")
        expect(form.get_by_role("link", name=name, exact=True)).to_be_visible()


def test_the_preview_fits(page: Page, browser: Browser, console: Console) -> None:
    for width in WIDTHS:
        with screen_of(page, browser, console, width) as screen:
            fill(screen)
            expect(screen.locator("#preview-count")).to_contain_text("31 tags match.")
            for scheme in SCHEMES[::-1]:
                screen.emulate_media(color_scheme=scheme)
                picture(screen, "preview", width, scheme)
            screen.get_by_label("Exclude tags").fill(".*-rc1")
            expect(screen.locator("#preview")).to_contain_text("names that end with -rc1")
            screen.locator(".glance").screenshot(path=SCREENSHOTS / f"preview-read-{width}.png")
            screen.get_by_label("Tags", exact=False).first.fill("v1|v2(")
            expect(screen.locator("#preview")).to_contain_text("at character 6")
            screen.locator(".glance").screenshot(path=SCREENSHOTS / f"preview-wrong-{width}.png")
            wider = screen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider == 0
