"""Moves the folders of archive nodes into the sources whose files they archive.

Archive nodes stay in the document, so that paths in it keep their meaning, but no node reads from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.ir.document import PipelineIR
from headrace.ir.nodes import AnyNode, ArchiveNode, SourceNode, TargetNode, producer
from headrace.ir.problems import Problem


def fold_archives(ir: PipelineIR) -> tuple[PipelineIR, list[Problem]]:
    """Returns the document with every archive's folder as the `successFolder` of its source, and with inputs that name
    an archive replaced by the input of the archive. The document has no structural problems."""
    nodes: dict[str, AnyNode] = {node.id: node for node in ir.nodes}
    if not any(isinstance(node, ArchiveNode) for node in ir.nodes):
        return ir, []
    problems: list[Problem] = []
    for position, node in enumerate(ir.nodes):
        if isinstance(node, ArchiveNode):
            problems += _archived(node, f"nodes[{position}]", nodes)
    for position, node in enumerate(ir.nodes):
        if not isinstance(node, ArchiveNode):
            problems += _rewired(nodes[node.id], f"nodes[{position}]", nodes)
    return ir.model_copy(update={"nodes": tuple(nodes.values())}), problems


def archive_of(ir: PipelineIR, source: str) -> tuple[str, str] | None:
    """Returns (path in the document, folder) of the archive node that was moved into a source, or None."""
    nodes: dict[str, AnyNode] = {node.id: node for node in ir.nodes}
    for position, node in enumerate(ir.nodes):
        if isinstance(node, ArchiveNode) and node.place is not None and source in _sources(node.input, nodes):
            return f"nodes[{position}].{node.place[0]}", node.place[1]
    return None


def archived_sources(ir: PipelineIR) -> Iterator[tuple[str, SourceNode]]:
    """Yields (path of the input of an archive node, source that it archives)."""
    nodes: dict[str, AnyNode] = {node.id: node for node in ir.nodes}
    for position, node in enumerate(ir.nodes):
        if isinstance(node, ArchiveNode):
            for name in _sources(node.input, nodes):
                source = nodes[name]
                assert isinstance(source, SourceNode)
                yield f"nodes[{position}].input", source


def _archived(node: ArchiveNode, path: str, nodes: dict[str, AnyNode]) -> Iterator[Problem]:
    sources = _sources(node.input, nodes)
    if len(sources) > 1:
        message = f"'{node.id}' archives files of several sources: {', '.join(sources)}"
        yield Problem(f"{path}.input", "several_sources", message, "set atomicity.successFolder at each source instead")
        return
    (name,) = sources
    source = nodes[name]
    assert isinstance(source, SourceNode)
    given = source.config.get("atomicity")
    atomicity = {**given} if isinstance(given, Mapping) else {}
    if node.place is not None:
        where, folder = node.place
        folder = _relative(folder, source.config.get("path"))
        other = atomicity.get("successFolder", folder)
        if isinstance(other, str) and other.rstrip("/") != folder.rstrip("/"):
            message = f"The source '{name}' archives its files into '{other}', not into '{folder}'"
            yield Problem(
                f"{path}.{where}", "another_folder", message, "remove the archive node, or make them the same"
            )
            return
        atomicity["successFolder"] = other
    if given is None or isinstance(given, Mapping):
        nodes[name] = source.model_copy(update={"config": {**source.config, "atomicity": atomicity}})


def _relative(folder: str, source: object) -> str:
    """Returns a folder below the source's own relative to it, as `atomicity` needs it."""
    if isinstance(source, str) and source.rstrip("/") and folder.startswith(f"{source.rstrip('/')}/"):
        return folder.removeprefix(f"{source.rstrip('/')}/").lstrip("/") or folder
    return folder


def _sources(reference: str, nodes: Mapping[str, AnyNode]) -> list[str]:
    """Returns the sources that the rows of a reference come from."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    pending = [producer(reference)]
    while pending:
        if (name := pending.pop(0)) in seen:
            continue
        seen.add(name)
        node = nodes[name]
        if isinstance(node, SourceNode):
            found[name] = None
        pending += [producer(each) for each in ((node.input,) if isinstance(node, ArchiveNode) else node.inputs)]
    return [*found]


def _rewired(node: AnyNode, path: str, nodes: dict[str, AnyNode]) -> Iterator[Problem]:
    """Replaces inputs that name an archive by the input of the archive."""
    before = tuple(_before(reference, nodes) for reference in node.inputs)
    if before == node.inputs:
        return
    for position, (reference, real) in enumerate(zip(node.inputs, before, strict=True)):
        if isinstance(nodes[producer(real)], TargetNode):
            where = f"{path}.input" if len(before) == 1 else f"{path}.inputs[{position}]"
            message = f"'{reference}' archives files after a target, which gives no rows"
            yield Problem(where, "reads_target", message, "name the node before the target")
            return
    update = {"input": before[0]} if len(before) == 1 else {"input_nodes": before}
    nodes[node.id] = node.model_copy(update=update)


def _before(reference: str, nodes: Mapping[str, AnyNode]) -> str:
    while isinstance(node := nodes[producer(reference)], ArchiveNode):
        reference = node.input
    return reference
