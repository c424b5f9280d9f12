"""The compiler: IR → logical plan (typed nodes) → physical plan (stages, partitions). Pure: it reads no data."""

from flows.compile.broadcast import ReferenceTable
from flows.compile.contract import TargetColumn
from flows.compile.logical import LogicalPlan, logical_plan
from flows.compile.physical import PhysicalPlan, physical_plan, shape_problems
from flows.compile.stage import Load, Stage

__all__ = [
    "Load",
    "LogicalPlan",
    "PhysicalPlan",
    "ReferenceTable",
    "Stage",
    "TargetColumn",
    "logical_plan",
    "physical_plan",
    "shape_problems",
]
