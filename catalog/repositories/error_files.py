"""SQL for the errors of rows that come from a file, by the indexes of their files.

An index entry has a hash of the run, the group and the file, then the row: it is small, and gives the errors of a file
in a group by row. A hash may be that of several, so each condition is checked again. Rows of joins have several
sources; there is an index for each of the first three, and one for those with more."""

from __future__ import annotations

from headrace.catalog.models.runs import HAS_MORE_SOURCES, HAS_SOURCE

_FILE = "each.sources->{}->>'file'"

# IS NOT DISTINCT FROM, as no index serves it: PostgreSQL knows nothing about how often the hashes occur, and would
# read a whole group by the key of the table.
_OF_FILE = """
    SELECT each.* FROM headrace.run_errors each
    WHERE headrace.error_key(each.root_run_id, each.node_id, each.rule, each."column", each.warning, {file})
          = headrace.error_key(:root, found.node_id, found.rule, found."column", found.warning, {wanted})
      AND each.root_run_id IS NOT DISTINCT FROM :root AND each.node_id IS NOT DISTINCT FROM found.node_id
      AND each.rule IS NOT DISTINCT FROM found.rule AND each."column" IS NOT DISTINCT FROM found."column"
      AND each.warning IS NOT DISTINCT FROM found.warning AND {matches}
"""


def _of_place(place: int) -> str:
    """The errors whose source at this place, and no earlier one, is the file."""
    has = HAS_SOURCE[place].replace("sources", "each.sources")
    matches = [has, f"{_FILE.format(place)} = :file", *_not_before(place)]
    return _OF_FILE.format(file=_FILE.format(place), wanted=":file", matches=" AND ".join(matches))


def _of_more() -> str:
    """The errors of which a source after those is the file."""
    has = HAS_MORE_SOURCES.replace("sources", "each.sources")
    contains = "each.sources @> jsonb_build_array(jsonb_build_object('file', CAST(:file AS text)))"
    matches = [has, contains, *_not_before(len(HAS_SOURCE))]
    return _OF_FILE.format(file="''", wanted="''", matches=" AND ".join(matches))


def _not_before(place: int) -> list[str]:
    return [f"{_FILE.format(earlier)} IS DISTINCT FROM :file" for earlier in range(place)]


OF_FILE = (*map(_of_place, range(len(HAS_SOURCE))), _of_more())
"""Queries of the errors of `:file` in the group `found` of the run `:root`; each error is in one of them."""
