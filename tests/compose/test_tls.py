"""The profile tls: a proxy in front of two APIs, under a path, and changes that lose no request behind it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import Browser

from dev.ports import free_port
from dev.processes import until
from proofs.support.request_load import Load
from proofs.support.voucher_client import Proxied
from tests.compose.project import Project
from tests.compose.stand_ins import pull_or_build
from tests.compose.test_operations import BLOCKS, execute

APIS = ("api", "api-2")
PREFIX = "/vouchers"
ROOT_CA = "/data/caddy/pki/authorities/local/root.crt"
SPOOFED = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "X-Forwarded-Prefix": "/evil"}
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
RATE = 50  # requests a second


@dataclass(frozen=True)
class Behind:
    """A project behind its proxy at `url`, which includes the prefix. `ca` is the file of the proxy's own authority."""

    project: Project
    url: str
    port: int
    ca: Path

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", verify=str(self.ca), timeout=60, **options)

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Send requests through the proxy. At the end, fail if one of them had no answer or a wrong one."""
        run = str(self.project.api.run_id())
        with Load(self.port, {run: 2640}, RATE, proxied=Proxied("localhost", PREFIX, self.ca.read_text())) as load:
            steady = load.during(2)
            assert steady.requests > RATE and not (steady.faults or steady.refused), steady.faults
            yield load
            report = load.report()
        print(f"\n  {report.requests} requests, slowest {max(report.seconds):.2f} s", flush=True)
        assert not (report.faults or report.refused), (report.faults, report.refused)


@pytest.fixture(scope="module")
def behind(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Yield the project behind its proxy, as docs/operations.md describes it. Afterwards it is as before."""
    pull_or_build(project.environment, "caddy")
    env, port = project.folder / ".env", free_port()
    execute(project, BLOCKS["TLS and a path"][0].replace("TLS_PORT=443", f"TLS_PORT={port}"))
    ca = tmp_path_factory.mktemp("tls") / "root.crt"
    project.compose("cp", f"proxy:{ROOT_CA}", str(ca))
    yield Behind(project, f"https://localhost:{port}{PREFIX}", port, ca)
    project.compose("--profile=tls", "rm", "--stop", "--force", "proxy", "api-2")
    lines = env.read_text().splitlines(keepends=True)  # rotations changed the others
    env.write_text("".join(line for line in lines if not line.startswith(("TLS_", "COMPOSE_PROFILES"))))
    project.compose("up", "-d", "--wait")


def test_what_is_behind_the_prefix(behind: Behind) -> None:
    """Page, documents and answers are below the prefix, as the OpenAPI document says; other paths are not there."""
    assert behind.ask("POST", "/voucher", json=CUSTOMER).json() == {"voucher_amount": 2640}
    assert f"curl &#39;{behind.url}/voucher" in behind.ask("GET", "/?country=Peru").text
    (server,) = behind.ask("GET", "/openapi.json").json()["servers"]
    assert urljoin(f"{behind.url}/openapi.json", server["url"]) == f"{behind.url}/"
    bare = behind.ask("GET", "", allow_redirects=False)
    assert (bare.status_code, bare.headers["Location"]) == (308, f"{PREFIX}/")
    root = behind.url.removesuffix(PREFIX)
    assert requests.get(f"{root}/readyz", verify=str(behind.ca), timeout=10).status_code == 404
    for path in ("/metrics", "/%6detrics", "//metrics", "/./metrics", "/metrics/"):
        assert behind.ask("GET", path).status_code == 404, path


def test_a_browser_finds_no_fault(behind: Behind, browser: Browser) -> None:
    """Page and documentation are complete below the prefix, without an error on the console or another host."""
    context = browser.new_context(ignore_https_errors=True)
    faults: list[str] = []
    context.on("console", lambda message: message.type in ("error", "warning") and faults.append(message.text))
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("response", lambda answer: answer.status >= 400 and faults.append(answer.url))
    context.on(
        "request", lambda asked: asked.url.startswith(("data:", "blob:", behind.url)) or faults.append(asked.url)
    )
    page = context.new_page()
    for path, text in (("/?country=Peru", "2640"), ("/redoc/", "Voucher Select"), ("/swagger/", "Voucher Select")):
        page.goto(f"{behind.url}{path}")
        page.get_by_text(text).first.wait_for()
    context.close()
    assert not faults


def test_a_client_s_own_headers_are_not_trusted(behind: Behind) -> None:
    """X-Forwarded-* of a client do not reach the page's links, and a host that is not the proxy's is not served."""
    assert behind.ask("GET", "/?country=Peru", headers=SPOOFED).text == behind.ask("GET", "/?country=Peru").text
    assert "evil" not in behind.ask("GET", "/openapi.json", headers=SPOOFED).text
    assert behind.ask("GET", "/readyz", headers={"Host": "evil.example"}).text == ""


def test_large_files_pass(behind: Behind) -> None:
    """A file of 40 MB, far more than the proxy keeps in memory, is sent and answered through it."""
    line = f"Peru,3,{'x' * 1000}\r\n"
    customers = f"country_code,total_orders,note\r\n{line * 40_000}"
    answer = behind.ask(
        "POST", "/vouchers?segment_name=frequent_segment", data=customers, headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 200
    assert answer.text.splitlines()[1:] == [f"{line.strip()},2640,"] * 40_000


def test_only_the_proxy_is_published(behind: Behind) -> None:
    """The second API has no port of its own, and the proxy's is on this machine only until TLS_PUBLISH_ON is set."""
    assert not any(behind.project.state("api-2")["NetworkSettings"]["Ports"].values())
    ports = behind.project.state("proxy")["NetworkSettings"]["Ports"]
    held = {name: [each["HostIp"] for each in bound] for name, bound in ports.items() if bound}
    assert held == {"443/tcp": ["127.0.0.1"]}


def test_the_proxy_is_confined(behind: Behind) -> None:
    """The proxy's root file system is read-only, and its processes have at most the one capability that they need."""
    state = behind.project.state("proxy")["HostConfig"]
    assert state["ReadonlyRootfs"] and state["CapDrop"] == ["ALL"]
    assert [name.removeprefix("CAP_") for name in state["CapAdd"]] == ["NET_BIND_SERVICE"]
    status = behind.project.compose("exec", "-T", "proxy", "grep", "CapEff", "/proc/1/status")
    assert int(status.split()[1], 16) in (0, 1 << 10)


@pytest.mark.parametrize("service", APIS)
def test_one_api_is_enough(behind: Behind, service: str) -> None:
    """While one API is stopped, and when it is killed, the other one answers, and no request is lost."""
    for words in (("stop", service), ("kill", "--signal=KILL", service)):
        with behind.load() as load:
            behind.project.compose(*words)
            assert load.during(3).requests
            behind.project.compose("up", "-d", "--wait", "--no-deps", service)


def test_without_an_api_a_request_is_told_to_come_back(behind: Behind) -> None:
    """If both APIs are away, the answer is a problem in JSON with Retry-After, and afterwards all is as before."""
    behind.project.compose("stop", *APIS)
    refused = behind.ask("POST", "/voucher", json=CUSTOMER)
    behind.project.compose("up", "-d", "--wait", "--no-deps", *APIS)
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
    assert refused.json()["status"] == 503 and int(refused.headers["Retry-After"]) > 0
    assert until(lambda: behind.ask("POST", "/voucher", json=CUSTOMER).ok, 10)


@pytest.mark.parametrize("block", range(2), ids=["the API's password", "the owner's and the superuser's"])
def test_a_rotation_loses_no_request(behind: Behind, block: int) -> None:
    """While secrets are rotated as in docs/operations.md, no request is lost, and afterwards both APIs have the new one."""
    before = {name: behind.project.container(name) for name in APIS}
    with behind.load(), behind.project.timed(f"rotation {block + 1} behind the proxy"):
        execute(behind.project, BLOCKS["Rotating secrets"][block])
        execute(behind.project, BLOCKS["Planned outages"][0])
    replaced = [name for name in APIS if behind.project.container(name) != before[name]]
    assert replaced == (list(APIS) if block == 0 else []), "the APIs know no other password than their own"
    assert all(ready(behind, name) for name in APIS)
    behind.project.log_in_again()


def test_an_upgrade_loses_no_request(behind: Behind) -> None:
    """While both APIs are replaced by those of a new image, no request is lost."""
    settings, before = behind.project.folder / "setup.cfg", {name: behind.project.container(name) for name in APIS}
    text = settings.read_text()
    settings.write_text(text.replace("\nversion = ", "\nversion = 99."))
    try:
        behind.project.compose("build", "-q", "api")
        with behind.load(), behind.project.timed("an upgrade behind the proxy"):
            execute(behind.project, BLOCKS["Planned outages"][0])
        assert all(before[name] != behind.project.container(name) for name in APIS)
        assert behind.ask("GET", "/readyz").json()["version"].startswith("99.")
    finally:
        settings.write_text(text)
        behind.project.compose("build", "-q", "api")
        execute(behind.project, BLOCKS["Planned outages"][0])


def ready(behind: Behind, service: str) -> bool:
    """Return whether the API of this container can answer and reach the database, asked without the proxy."""
    ask = "import sys, urllib.request as u; sys.stdout.write(u.urlopen('http://127.0.0.1:8000/readyz').read().decode())"
    health = json.loads(behind.project.compose("exec", "-T", service, "python", "-c", ask))
    return {"published_run", "database"} <= {*health["ok"]}
