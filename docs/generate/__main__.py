"""Writes the generated pages; `make docs`."""

from __future__ import annotations

from docs.generate.pages import DOCS, pages

for name, content in pages().items():
    (DOCS / name).write_text(content, encoding="utf-8")
