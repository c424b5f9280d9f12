"""docs/settings.md has every setting."""

from __future__ import annotations

import re

from headrace.catalog.settings import Settings
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text()


def test_every_setting_is_on_the_page() -> None:
    settings = {f"HEADRACE_{name.upper()}" for name in Settings.model_fields}
    assert settings <= set(re.findall(r"HEADRACE_[A-Z_]+", PAGE))
