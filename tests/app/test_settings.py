"""What the app needs from its environment, and how it says so."""

import pytest

from app.settings import Settings, SettingsError

OURS, OWNER = "postgresql://api:s3cret@db:5432/voucher", "postgresql://owner:s3cret@db:5432/voucher"


def test_the_apis_own_role_comes_first() -> None:
    """API_DATABASE_URL wins over DATABASE_URL."""
    settings = Settings.from_environment({"API_DATABASE_URL": OURS, "DATABASE_URL": OWNER})
    assert settings.database_url.username == "api"


def test_the_owners_role_is_a_fallback_that_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """For a first look, DATABASE_URL is enough, with a warning."""
    assert Settings.from_environment({"DATABASE_URL": OWNER}).database_url.username == "owner"
    assert "API_DATABASE_URL is not set" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "environ", [{}, {"API_DATABASE_URL": ""}, {"VOUCHER_ENV": "production", "DATABASE_URL": OWNER}]
)
def test_without_a_database_it_refuses_to_start(environ: dict[str, str]) -> None:
    """The message names the variable; in production there is no fallback."""
    with pytest.raises(SettingsError, match="API_DATABASE_URL"):
        Settings.from_environment(environ)


def test_the_way_out_is_named() -> None:
    """Who has no variables at all learns which command writes them."""
    with pytest.raises(SettingsError, match=r"make up.*\.local/env"):
        Settings.from_environment({})


def test_what_is_no_url_is_named_and_not_shown() -> None:
    """A password never stands in an error, nor in the settings' own text."""
    with pytest.raises(SettingsError, match="API_DATABASE_URL") as refusal:
        Settings.from_environment({"API_DATABASE_URL": "s3cret"})
    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in repr(Settings.from_environment({"API_DATABASE_URL": OURS}))


@pytest.mark.parametrize("hours", ["0", "-1", "soon", "nan", "inf"])
def test_an_age_is_a_number_of_hours_above_zero(hours: str) -> None:
    """Anything else refuses to start, naming variable and value."""
    with pytest.raises(SettingsError, match=f"VOUCHER_MAX_AGE_HOURS={hours}"):
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_MAX_AGE_HOURS": hours})
