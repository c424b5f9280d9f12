"""The compiler: IR → logical plan (typed nodes) → physical plan (stages, partitions). Pure: it reads no data."""

from flows.compile.conform import TargetColumn
from flows.compile.logical import LogicalPlan, logical_plan
from flows.compile.physical import PhysicalPlan, Stage, physical_plan, shape_problems

__all__ = ["LogicalPlan", "PhysicalPlan", "Stage", "TargetColumn", "logical_plan", "physical_plan", "shape_problems"]
