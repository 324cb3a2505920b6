"""docs/types.md says what the code does."""

from __future__ import annotations

from syncline.core.pages.types_page import SHOWN, types_page
from syncline.core.types import FAMILIES
from tests.conftest import ROOT


def test_the_page_is_what_the_rule_says() -> None:
    page = (ROOT / "docs" / "types.md").read_text(encoding="utf-8")

    assert page == types_page(), "write it anew: syncline generate"


def test_every_type_stands_in_the_table() -> None:
    assert set(SHOWN) >= set(FAMILIES)
    assert all(f"\n| `{spelling}` |" in types_page() for spelling in SHOWN)
