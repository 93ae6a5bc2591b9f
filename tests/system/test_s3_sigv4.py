"""The published signatures that the C unit test checks our signer against (tests/unit/common/net/sigv4.json) are those that
Amazon's own signer, botocore, makes: a typing error in them would show here."""
import datetime
import json
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conftest import ROOT

GROUPS = json.loads((ROOT / "tests/unit/common/net/sigv4.json").read_text())
CASES = [pytest.param(group, case, id=case["name"]) for group in GROUPS for case in group["cases"]]


class DatedS3Auth(S3SigV4Auth):
    """botocore signs by a Date header where there is one; the published example has both."""

    def _set_necessary_date_headers(self, request):
        request.headers["X-Amz-Date"] = request.context["timestamp"]


@pytest.mark.parametrize("group, case", CASES)
def test_botocore_makes_the_same_signature(group, case, monkeypatch):
    now = datetime.datetime.strptime(group["time"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)
    is_s3 = group["service"] == "s3"
    query = "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in case["query"])
    path = quote(case["path"], safe="/-._~") if is_s3 else case["path"]  # other services encode what is in the URL again
    request = AWSRequest(method=case["method"], data=case["body"],
                         url=f"https://{group['host']}{path}" + (f"?{query}" if query else ""))
    for name, value in case["headers"]:
        request.headers.add_header(name, " ".join(value.split()))
    request.context["payload_signing_enabled"] = True
    keys = Credentials(group["id"], group["secret"], case.get("token"))
    if "seconds" in case:
        S3SigV4QueryAuth(keys, "s3", group["region"], expires=case["seconds"]).add_auth(request)
        assert request.url.endswith(f"X-Amz-Signature={case['signature']}")
    else:
        (DatedS3Auth if is_s3 else SigV4Auth)(keys, group["service"], group["region"]).add_auth(request)
        assert request.headers["Authorization"].endswith(f"Signature={case['signature']}")
