"""The app's settings and the errors for invalid ones."""

import pytest

from app.settings import Settings, SettingsError

OURS, OWNER = "postgresql://api:s3cret@db:5432/voucher", "postgresql://owner:s3cret@db:5432/voucher"


def test_the_apis_own_role_comes_first() -> None:
    """API_DATABASE_URL takes precedence over DATABASE_URL."""
    settings = Settings.from_environment({"API_DATABASE_URL": OURS, "DATABASE_URL": OWNER})
    assert settings.database_url.username == "api"


def test_the_owners_role_is_a_fallback_that_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """DATABASE_URL is the fallback, with a warning."""
    assert Settings.from_environment({"DATABASE_URL": OWNER}).database_url.username == "owner"
    assert "API_DATABASE_URL is not set" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "environ", [{}, {"API_DATABASE_URL": ""}, {"VOUCHER_ENV": "production", "DATABASE_URL": OWNER}]
)
def test_without_a_database_it_refuses_to_start(environ: dict[str, str]) -> None:
    """The error for a missing URL names the variable; in production, DATABASE_URL is not a fallback."""
    with pytest.raises(SettingsError, match="API_DATABASE_URL"):
        Settings.from_environment(environ)


def test_what_is_no_url_is_named_and_not_shown() -> None:
    """Neither the error for an invalid URL nor the settings' repr contains the password."""
    with pytest.raises(SettingsError, match="API_DATABASE_URL") as refusal:
        Settings.from_environment({"API_DATABASE_URL": "s3cret"})
    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in repr(Settings.from_environment({"API_DATABASE_URL": OURS}))


def test_keys_and_origins_are_lists_without_blanks() -> None:
    """Lists may have white space around their commas and a trailing comma."""
    settings = Settings.from_environment(
        {
            "API_DATABASE_URL": OURS,
            "VOUCHER_API_KEYS": " first-key-of-16-characters ,second-key-of-16-characters,",
            "VOUCHER_CORS_ORIGINS": "https://shop.example, http://localhost:3000,http://[::1]:3000",
            "VOUCHER_WORKERS": "3",
        }
    )
    assert settings.api_keys == ("first-key-of-16-characters", "second-key-of-16-characters")
    assert settings.cors_origins == ("https://shop.example", "http://localhost:3000", "http://[::1]:3000")
    assert settings.workers == 3


@pytest.mark.parametrize("unset", [{}, {"VOUCHER_API_KEYS": "", "VOUCHER_CORS_ORIGINS": "", "VOUCHER_WORKERS": ""}])
def test_unset_means_no_keys_no_origins_and_two_workers(unset: dict[str, str]) -> None:
    """An unset or empty variable gives the default; compose files pass unset variables as empty ones."""
    settings = Settings.from_environment({"API_DATABASE_URL": OURS, **unset})
    assert (settings.api_keys, settings.cors_origins, settings.workers) == ((), (), 2)


@pytest.mark.parametrize(
    "keys",
    [
        " ",
        ",",
        " , ",
        "x" * 15,
        f"{'x' * 20},{'y' * 15}",
        "has a blank inside it",
        "küche-küche-küche",
        "a=in-the-middle-of-it",
        "x" * 20 + "\n;y",
    ],
)
def test_keys_that_cannot_guard_refuse_to_start(keys: str) -> None:
    """Keys that are too short, invalid in a header or set but empty are refused; the error names the variable only."""
    with pytest.raises(SettingsError, match="VOUCHER_API_KEYS") as refusal:
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_API_KEYS": keys})
    for key in filter(None, map(str.strip, keys.split(","))):
        assert key not in str(refusal.value)


def test_keys_do_not_stand_in_the_settings_own_text() -> None:
    """The settings' repr does not contain the keys, so that logging it reveals no secret."""
    settings = Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_API_KEYS": "a-secret-of-16-characters"})
    assert "a-secret" not in repr(settings)


@pytest.mark.parametrize(
    "origins",
    [
        *("*", "https://shop.example,*", "null", "shop.example", "https://shop.example/", "https://shop.example/path"),
        *("https://*.shop.example", "HTTPS://shop.example", "https://shop.example:", "https://a@shop.example", " "),
        *("https://a:s3cret@shop.example", "a:s3cret@shop.example", "https://shop.example/?key=s3cret"),
    ],
)
def test_an_origin_is_an_exact_one(origins: str) -> None:
    """Only exact origins, as browsers send them, are accepted; the error contains no password."""
    with pytest.raises(SettingsError, match="VOUCHER_CORS_ORIGINS") as refusal:
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_CORS_ORIGINS": origins})
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        *(("", ""), ("http://localhost:8080", "http://localhost:8080")),
        *(
            ("https://airflow.example/base/", "https://airflow.example/base"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ),
    ],
)
def test_the_address_of_airflow_is_one_that_paths_can_be_added_to(address: str, found: str) -> None:
    """The trailing slash of VOUCHER_AIRFLOW_URL is removed; an empty value means that the page has no links to it."""
    assert Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_AIRFLOW_URL": address}).airflow_url == found


@pytest.mark.parametrize(
    "address",
    [
        *("airflow.example", "javascript:alert(1)", "ftp://airflow.example", "http://", "http:///path", "//airflow"),
        *("http://a b", "http://a?x=1", "http://a#x", "http://me:word@a", "http://a:port", "http://a\n"),
        *("http://[::1", " "),
    ],
)
def test_what_is_no_web_address_refuses_to_start(address: str) -> None:
    """An address that is not a plain HTTP URL is refused, because the page would link to it."""
    with pytest.raises(SettingsError, match="VOUCHER_AIRFLOW_URL"):
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_AIRFLOW_URL": address})


@pytest.mark.parametrize("given", ["", " ", "EUR", '"PEN"'])
def test_a_currency_is_an_iso_code(given: str) -> None:
    """VOUCHER_CURRENCY is an ISO 4217 code; an empty value means the currency of each country."""
    found = Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_CURRENCY": given}).currency
    assert found == given.strip('" ')


@pytest.mark.parametrize("given", ["euro", "eur", "€", "EU", "ZZZ"])
def test_what_is_no_currency_refuses_to_start(given: str) -> None:
    """Another text is refused, and the error names it and shows the right form."""
    with pytest.raises(SettingsError, match=f"VOUCHER_CURRENCY is '{given}', but must be an ISO 4217 code"):
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_CURRENCY": given})
