"""How the pipeline and the service read environment variables."""

import os
import pydoc
import re

import pytest

from pipeline.settings import Settings, memory
from pipeline.workbench import Workbench, published
from shared import environment
from shared.environment import SettingsError
from tests.conftest import ROOT

UNSET = [{}, {"X": ""}, {"X": " "}, {"X": "\n"}, {"X": '""'}, {"X": "''"}]


@pytest.mark.parametrize("environ", UNSET)
def test_empty_is_unset(environ: dict[str, str]) -> None:
    """A variable that is empty, blank or an env file's empty quotes has its default, for each type."""
    assert environment.text(environ, "X") == ""
    assert environment.yes_no(environ, "X") is False
    assert environment.whole(environ, "X", 5, least=1) == 5
    assert environment.hours(environ, "X", 36) == 36


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "Yes", "y", " on ", "'yes'", "yes\n"])
def test_yes(value: str) -> None:
    """Every usual spelling of yes is read as true."""
    assert environment.yes_no({"X": value}, "X") is True


@pytest.mark.parametrize("value", ["0", "false", "False", "NO", "n", " off ", '"no"'])
def test_no(value: str) -> None:
    """Every usual spelling of no is read as false."""
    assert environment.yes_no({"X": value}, "X") is False


@pytest.mark.parametrize("value", ["2", "ja", "-1", "none", "1.0", "yes please"])
def test_neither_yes_nor_no(value: str) -> None:
    """Any other value is rejected; the error names the variable, the value and the allowed values."""
    with pytest.raises(SettingsError, match=rf"X is '{value}', but must be 1 or 0"):
        environment.yes_no({"X": value}, "X")


@pytest.mark.parametrize(
    ("value", "number"), [("1", 1), ("007", 7), (" 9 ", 9), ("9\n", 9), ('"3"', 3), ("0", None), ("10", None)]
)
def test_bounds_of_whole_numbers(value: str, number: int | None) -> None:
    """Both bounds are inclusive."""
    if number is None:
        with pytest.raises(SettingsError, match=f"X is '{value}', but must be a whole number from 1 to 9"):
            environment.whole({"X": value}, "X", 5, least=1, most=9)
    else:
        assert environment.whole({"X": value}, "X", 5, least=1, most=9) == number


@pytest.mark.parametrize("value", ["30s", "1.5", "-1", "+1", "1_000", "²", "٣", "1e3", "9" * 5000, "two", "0x10"])
def test_no_whole_number(value: str) -> None:
    """Numbers that only Python accepts, and other texts, are rejected with the variable's name; a long value is cut."""
    with pytest.raises(SettingsError, match=r"X is .*, but must be a whole number of at least 1") as refusal:
        environment.whole({"X": value}, "X", 5, least=1)
    assert len(str(refusal.value)) < 150


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "1e999", "1_0", "\uff13", "36h"])
def test_no_hours(value: str) -> None:
    """An age must be a number of hours above 0."""
    with pytest.raises(SettingsError, match=f"X is '{value}', but must be a number of hours"):
        environment.hours({"X": value}, "X", 36)


@pytest.mark.parametrize(
    ("value", "production"), [("production", True), (" Production\n", True), ("", False), ("prod", False)]
)
def test_production(value: str, production: bool) -> None:
    """The case of VOUCHER_ENV does not matter, and a value without an effect gets a warning."""
    assert environment.is_production({"VOUCHER_ENV": value}) is production
    assert bool(environment.warnings({"VOUCHER_ENV": value})) is (value == "prod")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("VOUCHER_RETRY_SECS", "VOUCHER_RETRY_SECONDS"),
        ("VOUCHER_SOURCES", "VOUCHER_SOURCE"),
        ("VOUCHER_MEMORY", "VOUCHER_MEMORY_MIB"),
        ("VOUCHER_S3_ANON", "VOUCHER_S3_ANONYMOUS"),
        ("VOUCHER_APIKEYS", "VOUCHER_API_KEYS"),
        ("VOUCHER_DATABASE_URL", "DATABASE_URL"),
    ],
)
def test_unknown_variables_are_warned_of(name: str, nearest: str) -> None:
    """The warning names the variable that is not a setting and the most similar setting, but no value."""
    assert environment.warnings({name: "s3cret"}) == [f"{name} is set, but is not a setting; did you mean {nearest}?"]


def test_known_variables_are_not_warned_of() -> None:
    """Settings, variables that Kubernetes makes of a service's name, and those of other products get no warning."""
    of_kubernetes = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR")
    others = ["PATH", "MY_VOUCHER_SOURCE", *(f"VOUCHER_API_{end}" for end in of_kubernetes)]
    assert environment.warnings(dict.fromkeys([*environment.NAMES - {"VOUCHER_ENV"}, *others], "x")) == []


def test_the_list_has_every_variable() -> None:
    """The list has each variable that code, templates, Compose and tests/conftest.py name, and no other."""
    name = r"VOUCHER_[A-Z0-9_]+|TODAY|[A-Z]*_?DATABASE_URL"
    python = [path for folder in ("app", "pipeline", "shared") for path in (ROOT / folder).rglob("*.py")]
    python.remove(ROOT / "shared" / "environment.py")
    others = [*(ROOT / "app" / "templates").rglob("*.html"), ROOT / "docker-compose.yml", ROOT / "tests/conftest.py"]
    found = {each for path in python for each in re.findall(rf'["$]({name})\b', path.read_text())}
    found |= {each for path in others for each in re.findall(rf"\b({name})\b", path.read_text())}
    assert {each for each in found if not each.endswith("_")} - {"AIRFLOW_DATABASE_URL"} == environment.NAMES


def test_the_help_of_a_function_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default value that stands for the environment reads it at each call, and does not show what is in it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    for function in (published, Workbench.from_environment, Settings.read, memory):
        assert "environ: " in (shown := pydoc.render_doc(function))
        assert "hunter2" not in shown
    monkeypatch.setenv("VOUCHER_MEMORY_MIB", "1234")
    assert memory() == 1234
    assert {**os.environ} == {**environment.OF_PROCESS}
