"""Which targets a row that failed is still to come to: those it was on its way to, and those it never set out for.

Behind a fan-out a row goes several ways. Where it failed on one of them, the others have ended: it was loaded there, or
left out for good. A branch has ways too, of which it takes one: where it failed on that, it may take another when it is
run again, because a condition was mended.
"""

from __future__ import annotations

from flows.compile.stage import Load, Stretch

Ways = dict[str, tuple[str, ...]]
"""By the node that a row failed at, the targets that it is open for."""


def ways(trunk: Stretch) -> Ways:
    """Those of all nodes of a stage."""
    return _ways(trunk, ())


def _ways(stretch: Stretch, beside: tuple[str, ...]) -> Ways:
    """`beside` are the targets behind other routes of the branches that lead here."""
    found = dict.fromkeys(stretch.nodes, tuple(dict.fromkeys((*_targets(stretch), *beside))))
    for outlet in stretch.outlets:
        others = [each.stretch for each in stretch.outlets if each.route != outlet.route]
        found |= _ways(outlet.stretch, (*beside, *(target for other in others for target in _targets(other))))
    return found


def _targets(stretch: Stretch) -> list[str]:
    return [sink.id for sink in stretch.sinks if isinstance(sink, Load)]
