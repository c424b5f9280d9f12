"""The names of pipelines in Prefect: unchanged where possible, and always distinct."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.deployments.prefect.registered_pipeline import RegisteredPipeline


def named(name: str, pipeline_id: str = "pipe_1") -> RegisteredPipeline:
    return RegisteredPipeline(pipeline_id, name, "acme")


def test_ordinary_names_are_shown_as_they_are() -> None:
    assert named("Orders (daily) - 50").flow_name == "acme: Orders (daily) - 50"
    assert named("a/b").deployment_name == "a\uff0fb"


def test_a_look_alike_is_not_the_name_it_looks_like() -> None:
    names = ["a/b", "a\uff0fb", "a\uff0fb (pipe_1)", "a/b (pipe_1)", "a\uff0fb (pipe_2)"]
    pipelines = [named(name, f"pipe_{number}") for number, name in enumerate(names)]
    assert len({each.deployment_name for each in pipelines}) == len({each.flow_name for each in pipelines}) == 5


_NAMES = st.text(alphabet="a/%\uff0f\uff05 (pipe_12)\n\t\x7f", min_size=1, max_size=20)


@given(st.lists(_NAMES, unique=True, max_size=6))
def test_distinct_names_stay_distinct_and_are_names_that_prefect_takes(names: list[str]) -> None:
    found = [named(name, f"pipe_{number}").deployment_name for number, name in enumerate(names)]
    assert len(set(found)) == len(names)
    assert not set("".join(found)) & set("/%&<>\n\t\x7f")
