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


def test_what_is_no_url_is_named_and_not_shown() -> None:
    """A password never stands in an error, nor in the settings' own text."""
    with pytest.raises(SettingsError, match="API_DATABASE_URL") as refusal:
        Settings.from_environment({"API_DATABASE_URL": "s3cret"})
    assert "s3cret" not in str(refusal.value)
    assert "s3cret" not in repr(Settings.from_environment({"API_DATABASE_URL": OURS}))


def test_keys_and_origins_are_lists_without_blanks() -> None:
    """Commas may have white space around them, and one may come last."""
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
    """Empty is unset: so do compose files write it."""
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
    """Too short, not fit for a header, or none although it is set: the variable is named, the key is not."""
    with pytest.raises(SettingsError, match="VOUCHER_API_KEYS") as refusal:
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_API_KEYS": keys})
    for key in filter(None, map(str.strip, keys.split(","))):
        assert key not in str(refusal.value)


def test_keys_do_not_stand_in_the_settings_own_text() -> None:
    """Who logs the settings logs no secret."""
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
    """As a browser sends it; what would never match, or match anybody, refuses to start, and no password is shown."""
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
    """Whether it ends in a slash or not; unset, the page has no links to it."""
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
    """It would become a link that leads nowhere, or worse."""
    with pytest.raises(SettingsError, match="VOUCHER_AIRFLOW_URL"):
        Settings.from_environment({"API_DATABASE_URL": OURS, "VOUCHER_AIRFLOW_URL": address})
