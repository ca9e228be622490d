"""What a form says when it is refused, where it says it, and that nothing that was typed is lost."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.support import violations

RULE = {
    "Name": ("", "Enter a name."),
    "Repositories (optional)": ("web/(", "missing"),
    "Tags (optional)": ("v[", "missing"),
    "Exclude repositories (optional)": ("*", "nothing to repeat"),
    "Exclude tags (optional)": ("(?=a)", "unknown kind of group"),
    "Target namespace (optional)": ("Prod", "lower-case"),
}
INSTANCE = {
    "Name": ("Prod", "lower-case letters"),
    "Region": ("", "Enter the region"),
    "Address": ("ftp://registry.example", "ftp"),
    "Proxy (optional)": ("http://user:pw@proxy:3128", "without credentials"),
    "CA certificate (optional)": ("nonsense", "Not a certificate"),
    "Connect timeout": ("0", "from 1 to 300"),
    "Read timeout": ("0", "from 1 to 3600"),
}


@pytest.mark.parametrize(
    ("url", "fields"), [("/i/guangzhou/new-rule/", RULE), ("/instances/new/", INSTANCE)], ids=["rule", "instance"]
)
def test_each_message_stands_at_its_field(page: Page, url: str, fields: dict[str, tuple[str, str]]) -> None:
    page.goto(url)
    for details in page.locator("form.form details").all():
        details.evaluate("element => { element.open = true; }")
    for label, (typed, _) in fields.items():
        page.get_by_label(label, exact=True).fill(typed)
    page.get_by_role("button", name="OK").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_visible()
    expect(summary).to_be_focused()
    for label, (typed, said) in fields.items():
        field = page.get_by_label(label, exact=True)
        expect(field).to_have_value(typed)
        expect(field).to_have_attribute("aria-invalid", "true")
        message = page.locator(f"#{field.get_attribute('id')}_error")
        expect(message).to_be_visible()
        expect(message).to_contain_text(said)
        assert f"{field.get_attribute('id')}_error" in (field.get_attribute("aria-describedby") or "")
        summary.get_by_role("link", name=label.removesuffix(" (optional)")).first.click()
        expect(field).to_be_focused()
    assert violations(page) == []
