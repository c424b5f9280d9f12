"""Names of Prefect states that say more than their type; the facade reads its statuses from them."""

COMPLETED_WITH_ERRORS = "CompletedWithErrors"
"""A Completed run that loaded some rows and rejected others."""

WAITING = "Waiting"
"""A Running run that cannot begin yet: its files have not come, or another one has its tables."""

CANCELLED = "cancelled"
"""No name of a state: the failure reason of a run that somebody cancelled."""
