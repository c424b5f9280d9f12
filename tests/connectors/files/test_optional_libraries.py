"""Optional libraries of formats: imported when needed; a missing one is reported with its extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.connectors.files.formats.reading import refused, source

LIBRARIES = {"avro": "fastavro", "xml": "lxml.etree", "xlsx": "python_calamine"}


@pytest.mark.parametrize("suffix", ["xml", "xlsx"])
def test_a_library_that_is_missing_is_reported_with_what_installs_it(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[suffix], None)
    (tmp_path / f"data.{suffix}").write_bytes(b"<r><o/></r>")
    error = refused(source(tmp_path / f"data.{suffix}", options={"row": "o"} if suffix == "xml" else {}))
    assert (error.code, error.file) == ("not_installed", None)
    assert "pip install 'headrace[files]'" in str(error)


def test_none_of_them_is_loaded_with_the_connectors() -> None:
    code = "import sys, headrace.connectors.registry; print([m for m in sys.argv[1:] if m in sys.modules])"
    names = [*LIBRARIES.values(), "lxml", "isal.igzip_lib", "backports.zstd", "pyarrow.orc"]
    found = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
