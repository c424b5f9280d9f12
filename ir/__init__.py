"""The Pipeline IR: one typed JSON document per pipeline, parsed with every problem at once."""

from ir.document import PipelineIR
from ir.parse import ParseResult, parse_ir
from ir.problems import Problem

__all__ = ["ParseResult", "PipelineIR", "Problem", "parse_ir"]
