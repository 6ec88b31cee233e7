"""What /openapi.json promises holds for whatever is sent: schemathesis makes the requests."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

SHORT = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def hold_to(operation: Any) -> None:
    """Send an address what it takes and what it does not, and check each answer against the description."""

    @SHORT
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        # most bytes that are made up are no image, so that they are refused
        case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

    check()


@pytest.mark.slow
def test_no_request_fails_the_server_or_gets_what_was_not_promised(server) -> None:
    interface = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [one.ok() for one in interface.get_all_operations()]
    for operation in operations:
        hold_to(operation)
    tried = {f"{one.method.upper()} {one.path}" for one in operations}
    assert {"POST /predict", "POST /explain", "POST /v2/models/{name}/infer"} <= tried
    assert len(tried) == 12


def test_every_refusal_is_of_one_form(server) -> None:
    about = requests.get(f"{server.url}/openapi.json").json()
    refusals = [
        answer["content"]["application/json"]["schema"]
        for methods in about["paths"].values()
        for one in methods.values()
        for status, answer in one["responses"].items()
        if int(status) >= 400
    ]
    assert len(refusals) > 20
    assert all(one == {"$ref": "#/components/schemas/Refusal"} for one in refusals)
