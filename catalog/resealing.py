"""Rotation of the key that seals connector credentials: everything under an older key is sealed anew with the first."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from catalog.credentials import Keyring
from catalog.models import Connector


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many connectors' credentials were sealed anew, and how many were under the first key already."""

    anew: int
    current: int


def reseal_credentials(engine: Engine, keyring: Keyring) -> Resealed:
    """Seals the credentials of every connector of every tenant with the ring's first key, all of them or none.

    Afterwards the other keys may be forgotten. Raises CredentialsUnreadable when one does not open.
    """
    with Session(engine) as session, session.begin():
        # older keys are thrown away on the strength of this commit: it must be on the disk
        session.execute(text("SET LOCAL synchronous_commit = on"))
        sealed = (
            select(Connector.id, Connector.auth_sealed)
            .where(Connector.auth_sealed.is_not(None))
            .order_by(Connector.id)
            .with_for_update()
        )
        anew = current = 0
        for connector_id, credentials in session.execute(sealed).all():
            if credentials is not None and keyring.is_current(credentials):
                current += 1
                continue
            opened = keyring.unseal(credentials, connector_id=connector_id)
            again = keyring.seal(opened, connector_id=connector_id)
            session.execute(update(Connector).where(Connector.id == connector_id).values(auth_sealed=again))
            anew += 1
    return Resealed(anew, current)
