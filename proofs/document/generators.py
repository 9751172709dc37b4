"""Install a generator of clients, generate a client, and call the service with it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from proofs.support.environment import ROOT

CLIENTS = ROOT / "tests" / "clients"
MINIMAL = {  # what a generator prints for this document is not specific to ours
    "openapi": "3.1.0",
    "info": {"title": "Minimal", "version": "1"},
    "servers": [{"url": "/"}],
    "paths": {"/x": {"get": {"operationId": "getX", "tags": ["x"], "responses": {"200": {"description": "x"}}}}},
    "components": {"schemas": {"X": {"type": "object", "properties": {"x": {"type": "string"}}}}},
}


class ToolMissingError(Exception):
    """A program is not installed, or a registry can't be reached."""


def run_python(generator: str, folder: Path, document: str) -> tuple[str, subprocess.CompletedProcess[str]]:
    """Return the output of the generator, and the completed calling program."""
    _install(sys.executable, "-m", "uv", "venv", "--python", sys.executable, "venv", cwd=folder)
    python = str(folder / "venv" / "bin" / "python")
    pins = str(CLIENTS / f"{generator}.txt")
    _install(
        sys.executable, "-m", "uv", "pip", "install", "--python", python, "--require-hashes", "-r", pins, cwd=folder
    )
    if generator == "openapi-generator":
        (folder / "minimal.json").write_text(json.dumps(MINIMAL))
        always = _openapi_generator("minimal.json", "minimal", folder).splitlines()
        said = "\n".join(
            line for line in _openapi_generator(document, "client", folder).splitlines() if line not in always
        )
        if (folder / "client" / "generated").exists():
            (folder / "client" / "generated").rename(folder / "generated")
    else:
        config = str(CLIENTS / "openapi-python-client.yaml")
        options = ("--url", document, "--meta", "none", "--output-path", "generated", "--config", config)
        said = _generate("openapi-python-client", "generate", *options, cwd=folder)
    name = f"{generator.replace('-', '_')}.py"
    shutil.copy(CLIENTS / name, folder)
    return said, _call([python, name], folder)


def _openapi_generator(document: str, output: str, folder: Path) -> str:
    if not shutil.which("java"):
        raise ToolMissingError("there is no java, which openapi-generator needs")
    return _generate(
        *("openapi-generator-cli", "generate", "-i", document, "-g", "python", "-o", output),
        *("--package-name", "generated"),
        cwd=folder,
    )


def run_node(generator: str, folder: Path, document: str) -> tuple[str, subprocess.CompletedProcess[str]]:
    """Do the same as `run_python`. Compiling the calling program checks its types, too."""
    if not shutil.which("npm"):
        raise ToolMissingError("there is no npm")
    if not (folder.parent / "node_modules").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / name, folder.parent)
        _install("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder.parent)
    shutil.copy(CLIENTS / "tsconfig.json", folder)
    shutil.copy(CLIENTS / f"{generator}.ts", folder / "call.ts")
    options = (
        ("--input", document, "--output", "generated.ts") if generator == "orval" else (document, "-o", "generated.ts")
    )
    said = _generate(generator, *options, cwd=folder)
    compiled = _call(["npx", "--no-install", "tsc"], folder)
    return said, compiled if compiled.returncode else _call(["node", "--no-warnings", "out/call.js"], folder)


def _install(*command: str, cwd: Path) -> None:
    """Run a command. Raise ToolMissingError if it fails, for example because the registry can't be reached."""
    ended = _call(command, cwd)
    if ended.returncode:
        raise ToolMissingError(f"{' '.join(command)}: {ended.stdout[-500:]}{ended.stderr[-500:]}")


def _generate(*command: str, cwd: Path) -> str:
    """Return the output of the generator, with a line "error: …" if it fails."""
    ended = _call(command, cwd)
    return ended.stdout + ended.stderr + (f"error: it ended with {ended.returncode}\n" if ended.returncode else "")


def _call(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(cwd / "venv" / "bin"), str(cwd.parent / "node_modules" / ".bin"), os.environ["PATH"]])
    environ = os.environ | {"PATH": path, "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1", "SCARF_ANALYTICS": "false"}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=600, check=False)
