"""The replication document: many tables of one connection, each copied by a pipeline of its own."""

from headrace.ir.replication.document import ReplicationIR
from headrace.ir.replication.parser import ReplicationParsed, parse_replication

__all__ = ["ReplicationIR", "ReplicationParsed", "parse_replication"]
