"""`headrace keys accept-audit-log`: resume sealing of an audit log that differs from its seal, with a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from headrace.deployments.cli.keys.api_keys import DataDir, TenantId, Url, key_pepper, tenant_catalog
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, TENANT, Layout
from headrace.deployments.stack.secrets import stored_encryption_keys

_out = Console(highlight=False, soft_wrap=True)

WitnessFile = Annotated[
    Path | None,
    typer.Option("--witness", envvar="HEADRACE_AUDIT_WITNESS", help="The facade's; without it the data folder's."),
]


def accept_audit_log(
    reason: Annotated[str, typer.Option(help="Why the log differs from its seal; kept in the log.")],
    tenant: TenantId = TENANT,
    witness_file: WitnessFile = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: Url = None,
) -> None:
    """Accept a tenant's audit log as it is now, after a backup was restored or a key was lost.

    The acceptance is an entry of the log, with the reason and the previous seal. Restart the APIs afterwards: they keep
    the previous seal in memory.
    """
    require("engine", "`headrace keys accept-audit-log`")
    from headrace.catalog.audit.seals import AuditKeys, Seal
    from headrace.catalog.audit.witness import Witness
    from headrace.catalog.models import AuditHead
    from headrace.catalog.security.credentials import encryption_keys

    layout = Layout.of(data_dir)
    text = os.environ.get("HEADRACE_ENCRYPTION_KEYS") or ",".join(stored_encryption_keys(layout.secrets))
    try:
        keys = AuditKeys([*encryption_keys(text), key_pepper(data_dir).encode()])
    except ValueError as error:
        raise HeadraceError(f"HEADRACE_ENCRYPTION_KEYS cannot be used: {error}.") from None
    witness = Witness(witness_file or layout.root / "audit-heads.json")
    with tenant_catalog(tenant, data_dir, url) as catalog:
        head = catalog.session.get(AuditHead, tenant, with_for_update=True)
        if head is None:
            raise HeadraceError(f"The tenant {tenant} has no audit log.")
        seen = [seal for seal in (Seal.of(head), witness.latest(tenant)) if seal is not None]
        before = [{"sequence": seal.sequence, "hash": seal.integrity_hash} for seal in seen]
        facts = {"reason": reason, "entries": head.sequence}
        catalog.audit.append("accept", "audit_log", tenant, before={"sealed": before}, after=facts)
        catalog.session.refresh(head)
        seal = keys.seal(tenant, head.sequence, head.integrity_hash)
        seal.write_to(head)
    witness.forget(tenant)
    witness.remember({tenant: seal})
    _out.print(f"accepted {head.sequence} entries of tenant {tenant}; restart the APIs", markup=False)
