"""A fake of a Salesforce organisation: SOQL of one object, batches of the REST API, bulk query jobs, tokens that
expire."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.connectors.http.api_server import Asked, Failure
from tests.connectors.http.shipped.records import Record
from tests.connectors.http.shipped.service import Answer, Service, said

BASE = "/services/data/v62.0"
_SOQL = re.compile(r"SELECT (.+) FROM (\w+)(?: WHERE SystemModstamp >= (\S+))?(?: ORDER BY SystemModstamp, Id)?")
BUSY = Failure(503, {"Retry-After": "0"}, b'[{"message": "Service unavailable", "errorCode": "SERVER_UNAVAILABLE"}]')


class Salesforce(Service):
    """`objects` by name. A job needs `polls` polls. Tokens are those of `issued`; `expire` ends them."""

    def __init__(self) -> None:
        super().__init__(None, BUSY)
        self.objects: dict[str, list[Record]] = {}
        self.batch, self.polls, self.fails, self.strips = 200, 2, False, False
        self.jobs: dict[str, Record] = {}
        self.tokens, self.open_to_all = [], ("/services/oauth2/token",)
        self.public_key: rsa.RSAPublicKey | None = None
        self.pages["/services/oauth2/token"] = self._token
        self.pages[f"{BASE}/query"] = self._query
        self.pages[f"{BASE}/jobs/query"] = self._create

    def expire(self) -> None:
        """Ends all tokens."""
        assert self.tokens is not None
        self.tokens.clear()

    def _token(self, asked: Asked) -> Answer:
        form = {name: values[0] for name, values in parse_qs(asked.body).items()}
        if form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            head, claims, signature = form["assertion"].split(".")
            assert self.public_key is not None
            self.public_key.verify(_plain(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
            read = json.loads(_plain(claims))
            if (read["iss"], read["sub"]) != ("app", "reader@example.org") or read["aud"] != "https://login.example":
                return said(400, {"error": "invalid_grant"})
        elif form.get("client_secret") != "s3cret":
            return said(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
        self.made += 1
        assert self.tokens is not None
        self.tokens.append(f"00D-{self.made}")
        return said(200, {"access_token": f"00D-{self.made}", "instance_url": self.url, "token_type": "Bearer"})

    def _found(self, soql: str) -> tuple[str, list[str], list[Record]]:
        found = _SOQL.fullmatch(soql)
        assert found is not None, soql
        rows = sorted(self.objects[found[2]], key=lambda each: (each["SystemModstamp"], each["Id"]))
        if found[3] is not None:
            low = datetime.fromisoformat(found[3])
            rows = [each for each in rows if datetime.fromisoformat(each["SystemModstamp"]) >= low]
        names = (
            [*rows[0]] if found[1] == "FIELDS(STANDARD)" and rows else [each.strip() for each in found[1].split(",")]
        )
        return found[2], names, rows

    def _query(self, asked: Asked) -> Answer:
        name, names, rows = self._found(asked.query["q"])
        whole = [{"attributes": {"type": name}, **{each: row[each] for each in names}} for row in rows]
        return self._batch(whole, 0)

    def _batch(self, rows: list[Record], begin: int) -> Answer:
        end = begin + self.batch
        answer = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[begin:end]}
        if end < len(rows):
            path = f"{BASE}/query/01g{len(self.asked)}-{end}"
            self.pages[path] = lambda asked: self._batch(rows, end)
            answer["nextRecordsUrl"] = path
        return said(200, answer)

    def _create(self, asked: Asked) -> Answer:
        body = json.loads(asked.body)
        if set(body) != {"operation", "query"}:
            return said(400, [{"errorCode": "INVALIDJOB"}])
        job = f"750{len(self.jobs):05}"
        _, names, rows = self._found(body["query"])
        self.jobs[job] = {"left": self.polls, "names": names, "rows": rows}
        self.pages[f"{BASE}/jobs/query/{job}"] = lambda asked: self._state(job)
        self.pages[f"{BASE}/jobs/query/{job}/results"] = lambda asked: self._results(job, asked)
        return said(200, {"id": job, "operation": "query", "state": "UploadComplete", "contentType": "CSV"})

    def _state(self, job: str) -> Answer:
        if self.fails:
            return said(200, {"id": job, "state": "Failed", "errorMessage": "INVALID_FIELD: No such column 'Nmae'."})
        self.jobs[job]["left"] -= 1
        done = self.jobs[job]["left"] <= 0
        return said(200, {"id": job, "state": "JobComplete" if done else "InProgress"})

    def _results(self, job: str, asked: Asked) -> Answer:
        found, begin = self.jobs[job], int(asked.query.get("locator", 0))
        if found["left"] > 0:
            return said(404, [{"errorCode": "NOT_FOUND"}])
        end = begin + min(int(asked.query["maxRecords"]), self.batch)
        text = io.StringIO()
        writer = csv.DictWriter(text, found["names"], quoting=csv.QUOTE_ALL, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row} for row in found["rows"][begin:end])
        locator = str(end) if end < len(found["rows"]) else "null"
        headers = (
            {"Content-Type": "text/csv"} if self.strips else {"Content-Type": "text/csv", "Sforce-Locator": locator}
        )
        return 200, headers, text.getvalue().encode()


def _plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@contextmanager
def salesforce() -> Iterator[Salesforce]:
    """A service that is stopped at the end."""
    service = Salesforce()
    yield service
    service.close()
