"""Archive nodes, folded into the sources whose files they are about.

They stay in the document, so that a place in it means the same before and behind, but nothing reads from them and they
read nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ir.document import PipelineIR
from ir.nodes import AnyNode, ArchiveNode, SourceNode, TargetNode, producer
from ir.problems import Problem

_FILES = ("local_fs", "s3", "gcs", "azure_blob", "sftp", "ftp", "http_pull")
"""Connectors whose sources are files."""


def fold_archives(ir: PipelineIR) -> tuple[PipelineIR, list[Problem]]:
    """The document (whose structure is sound) with every archive's folder as the `successFolder` of its source, and
    what reads from an archive reading from what is before it."""
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
    """(path, in the document, of the folder) and the folder of the archive node that was folded into a source."""
    nodes: dict[str, AnyNode] = {node.id: node for node in ir.nodes}
    for position, node in enumerate(ir.nodes):
        if isinstance(node, ArchiveNode) and node.place is not None and source in _sources(node.input, nodes):
            return f"nodes[{position}].{node.place[0]}", node.place[1]
    return None


def _archived(node: ArchiveNode, path: str, nodes: dict[str, AnyNode]) -> Iterator[Problem]:
    sources = _sources(node.input, nodes)
    if len(sources) > 1:
        message = f"'{node.id}' is behind several sources: {', '.join(sources)}"
        yield Problem(f"{path}.input", "several_sources", message, "set atomicity.successFolder at each source instead")
        return
    (name,) = sources
    source = nodes[name]
    assert isinstance(source, SourceNode)
    if source.connector not in _FILES:
        message = f"The source '{name}' reads {source.connector}, which has no files to archive"
        yield Problem(f"{path}.input", "no_files", message, "remove the archive node")
        return
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
    """A folder below the source's own, as `atomicity` wants it: relative to that."""
    if isinstance(source, str) and source.rstrip("/") and folder.startswith(f"{source.rstrip('/')}/"):
        return folder.removeprefix(f"{source.rstrip('/')}/").lstrip("/") or folder
    return folder


def _sources(reference: str, nodes: Mapping[str, AnyNode]) -> list[str]:
    """The sources that rows at a reference come from."""
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
    """Inputs that name an archive name what is before it."""
    before = tuple(_before(reference, nodes) for reference in node.inputs)
    if before == node.inputs:
        return
    for position, (reference, real) in enumerate(zip(node.inputs, before, strict=True)):
        if isinstance(nodes[producer(real)], TargetNode):
            where = f"{path}.input" if len(before) == 1 else f"{path}.inputs[{position}]"
            message = f"'{reference}' archives files behind a target, which gives no rows"
            yield Problem(where, "reads_target", message, "name the node before the target")
            return
    update = {"input": before[0]} if len(before) == 1 else {"input_nodes": before}
    nodes[node.id] = node.model_copy(update=update)


def _before(reference: str, nodes: Mapping[str, AnyNode]) -> str:
    while isinstance(node := nodes[producer(reference)], ArchiveNode):
        reference = node.input
    return reference
