"""`vector_embed`"""

from __future__ import annotations

from flows.compile.models import needs
from flows.compile.scope import Scope
from flows.compile.step import Step
from flows.models import embedding
from ir.ops import VectorEmbed


def compile_vector_embed(op: VectorEmbed, scope: Scope) -> tuple[Step, ...]:
    """The column of vectors."""
    needs(scope, op.type, embedding.MODULE)
    text = scope.text(op.field, "field")
    scope.output(op.to, "to", replaces=op.field)
    column = text.map_batches(embedding.embed, return_dtype=embedding.VECTOR, is_elementwise=True).alias(op.to)
    return (Step(scope.node, scope.path, f"{op.to} = embedding of {op.field}", columns=(column,)),)
