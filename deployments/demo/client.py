"""A REST client for the demo that creates missing objects."""

from __future__ import annotations

from typing import Any

from headrace.deployments.cli.rest import Rest
from headrace.deployments.stack.state import StackState


class Client(Rest):
    """A session with the API of a running stack; a context manager. Raises StackError on failure."""

    def __init__(self, state: StackState) -> None:
        super().__init__(state.api_url, state.api_key)

    def ensure(self, collection: str, body: dict[str, Any], revision: str) -> tuple[dict[str, Any], bool]:
        """The object of that name and revision in `collection`, and whether it was created.

        The revision is at the end of the description. An older object of the same name is not changed; the new one then
        gets the revision in its name.
        """
        wanted = f"{body.get('description', '')} (revision {revision})"
        revised = f"{body['name']} {revision}"
        taken = False
        for item in self.all(collection):
            if item["name"] in (body["name"], revised, revised.replace(" ", "_")) and item["description"] == wanted:
                return item, False
            taken = taken or item["name"] == body["name"]
        name = revised if taken else body["name"]
        made: dict[str, Any] = self.post(collection, body | {"name": name, "description": wanted})
        return made, True
