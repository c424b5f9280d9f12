"""The compiler: IR → logical plan (typed nodes) → physical plan (stages, partitions). It reads no data."""

from headrace.flows.compile.logical import logical_plan
from headrace.flows.compile.logical_node import LogicalPlan
from headrace.flows.compile.physical import PhysicalPlan, physical_plan, shape_problems
from headrace.flows.compile.reference_tables import ReferenceTable
from headrace.flows.compile.stages.stage import Load, Stage
from headrace.flows.compile.target.schema_contract import TargetColumn

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
