"""The Pipeline IR: one typed JSON document per pipeline, and a parser that reports all problems at once."""

from headrace.ir.document import PipelineIR
from headrace.ir.parsing.parser import ParseResult, parse_ir
from headrace.ir.problems import Problem

__all__ = ["ParseResult", "PipelineIR", "Problem", "parse_ir"]
