"""The service's proofs at a small size; `make prove service`, `soak`, `requests` and `campaign` run all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proofs.service import campaign, events, requests, service, soak
from proofs.service.running_service import RunningService

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with service.fixtures(tmp_path_factory.mktemp("service") / "site") as site:
        yield site


@pytest.mark.parametrize("event", events.FEW)
def test_nothing_that_happens_loses_a_request(site: RunningService, event: str) -> None:
    """No event loses a request, except those that a killed worker was answering."""
    result = service.trial(site, event, 0, seconds=1)
    print(service.table([result]))
    assert not result.faults


def test_odd_requests_are_answered_over_http_too(site: RunningService) -> None:
    """The running server gives each odd request the status that it has to get."""
    results = [requests.trial(site, *key) for key in requests.keys(site)]
    assert not [(each.key, each.faults) for each in results if each.faults]


def test_a_soak_has_no_error_and_draws_its_memory(tmp_path: Path) -> None:
    """A few publishes under load cause no error, and memory is plotted. Only the full size shows whether it grows."""
    with soak.fixtures(tmp_path / "site") as fixtures:
        results = [soak.trial(fixtures, number, seconds=3) for number in range(4)]
    assert not [(each.key, each.faults) for each in results if each.faults]
    assert len(results[0].memory) == 3
    soak.figure(results, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", ["amount", "explained"])
def test_a_campaign_loses_no_line(site: RunningService, columns: str) -> None:
    """A file sent by curl gets the answers of JSON line by line. Only the full size shows that memory does not grow."""
    result = campaign.trial(site, columns, 20_000)
    print(campaign.table([result]))
    assert not result.faults
    assert not campaign.short([result])
