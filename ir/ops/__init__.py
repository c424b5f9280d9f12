"""Every op of a transform: one module each, one line in the union.

What an op does to rows stands in `flows.compile.ops`, in a module of the same name.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from ir.ops.add_field import AddField
from ir.ops.cast import Cast
from ir.ops.drop import Drop
from ir.ops.expression import Expression
from ir.ops.filter import Filter
from ir.ops.rename import Rename

AnyOp = AddField | Cast | Drop | Expression | Filter | Rename
Op = Annotated[AnyOp, Field(discriminator="type")]

OPS: dict[str, type[AnyOp]] = {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(AnyOp)}
"""Op models by type."""

__all__ = ["OPS", "AddField", "AnyOp", "Cast", "Drop", "Expression", "Filter", "Op", "Rename"]
