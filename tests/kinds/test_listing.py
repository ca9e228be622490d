"""What a listing keeps, and when it is filled."""

import pytest

from sync.registries import Listing
from sync.registries.listing import Row

ONE, TWO = (f"sha256:{number:064x}" for number in (1, 2))


def filled(*pages: list[Row]) -> Listing:
    listing = Listing()

    def read(has, put):
        for number, rows in enumerate(pages):
            put(number, rows)

    listing.fill(read)
    return listing


def test_what_is_put_is_taken_once():
    rows = [("a/web", "v1", ONE), ("a/api", "v1", TWO), ("a/web", "latest", ONE)]
    listing = filled(rows, [("a/web", "v2", TWO)])
    assert listing.repositories == ["a/api", "a/web"]
    assert listing.take("a/web") == {"v1": ONE, "latest": ONE, "v2": TWO}
    assert (listing.take("a/web"), listing.take("a/other")) == (None, None)
    assert listing.repositories == ["a/api"]


def test_the_same_page_twice_changes_nothing_and_the_later_digest_counts():
    page = [("a/web", "v1", ONE)]
    assert filled(page, page, [("a/web", "v1", TWO)]).take("a/web") == {"v1": TWO}


@pytest.mark.parametrize(("tag", "digest"), [("v1", f"sha512:{1:0128x}"), ("x" * 129, ONE), ("ü" * 100, ONE)])
def test_what_it_cannot_keep_is_left_out(tag, digest):
    listing = filled([("a/web", tag, digest), ("a/web", "y" * 128, ONE)])
    assert listing.take("a/web") == {"y" * 128: ONE}


def test_it_is_read_until_it_is_complete_and_goes_on_where_it_broke_off():
    listing, asked = Listing(), []

    def read(has, put, fails=None):
        for number in range(3):
            if number == fails:
                raise ConnectionError
            if not has(number):
                asked.append(number)
                put(number, [("a/web", f"v{number}", ONE)])

    with pytest.raises(ConnectionError):
        listing.fill(lambda has, put: read(has, put, fails=2))
    listing.fill(read)
    listing.fill(read)
    assert asked == [0, 1, 2]
    assert set(listing.take("a/web") or ()) == {"v0", "v1", "v2"}
