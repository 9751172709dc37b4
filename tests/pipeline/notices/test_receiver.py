"""Who gets the notices: the settings VOUCHER_NOTIFY_URL, _FORM and _SECRET."""

import base64
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from pipeline.receiver import Receiver
from pipeline.settings import Settings, SettingsError, page_url

WORD = "hunter2Secret"
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


def read(url: str, **others: str) -> Receiver | None:
    named = {f"VOUCHER_NOTIFY_{name}": value for name, value in {"URL": url, **others}.items()}
    return Settings.read("file", {"PIPELINE_DATABASE_URL": "postgresql://p:w@127.0.0.1/d", **named}).receiver


@pytest.mark.parametrize(
    ("url", "form", "name"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack", "hooks.slack.com"),
        ("https://HOOKS.slack.com/services/T0/B0/x", "slack", "hooks.slack.com"),
        ("https://hooks.slack-gov.com/services/T0/B0/x", "slack", "hooks.slack-gov.com"),
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=a%2Fb", "teams", None),
        ("https://default1.2.environment.api.powerplatform.com:443/powerautomate/x?sig=a-b_c", "teams", None),
        ("https://contoso.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4".replace("@", "%40"), "teams", None),
        ("https://evilhooks.slack.com.example/x", "webhook", "evilhooks.slack.com.example"),
        ("https://nothooks.slack.com/x", "webhook", "nothooks.slack.com"),
        ("http://127.0.0.1:8080", "webhook", "127.0.0.1"),
        ("http://[::1]:8080/x", "webhook", "::1"),
        (f"https://user:{WORD}@hooks.example/x", "webhook", "hooks.example"),
        (' "https://hooks.example/x" ', "webhook", "hooks.example"),
    ],
)
def test_the_host_decides_the_form(url: str, form: str, name: str | None) -> None:
    """A URL of Slack or Teams gets their form, any other one a webhook; a message names only the host."""
    found = read(url)
    assert found
    assert found.form == form
    assert found.name == (name or found.url.partition("://")[2].partition(":443/")[0].partition("/")[0])
    assert read(url, FORM="Slack").form == "slack"  # type: ignore[union-attr]
    assert "://" not in repr(found)


def test_nobody_by_default() -> None:
    """Without a URL nobody gets notices, whatever the other settings are."""
    assert read("") is None
    assert read(" ", FORM="other", SECRET="other") is None


@pytest.mark.parametrize(
    "url",
    [
        *(WORD, f"hooks.example/{WORD}", f"ftp://hooks.example/{WORD}", f"https:///{WORD}", f"https://{WORD}:x/"),
        *(f"https://u:{WORD}/x@hooks.example/", f"https://{WORD}?x@hooks.example", f"https://{WORD}\\@hooks.example"),
        *(
            f"https://hooks.example/{WORD} x",
            f"https://hooks.example/{WORD}\nx",
            f"https://[{WORD}/",
            "https://h:99999/",
        ),
    ],
)
def test_a_bad_url_is_an_error_without_its_value(url: str) -> None:
    """A URL whose host is not certain is refused, and the message doesn't show any of it."""
    with pytest.raises(SettingsError, match="VOUCHER_NOTIFY_URL is not a URL like https://host/path") as error:
        read(url)
    assert WORD not in str(error.value)


@pytest.mark.parametrize(
    "secret",
    [WORD, f"whsec_{WORD}", "whsec_", SECRET.removeprefix("whsec_"), f"whsec_{base64.b64encode(b'x' * 23).decode()}",
     f"whsec_{base64.b64encode(b'x' * 65).decode()}"],
)  # fmt: skip
def test_a_bad_secret_is_an_error_that_says_how_to_make_one(secret: str) -> None:
    """A secret that Standard Webhooks doesn't allow is refused, without its value."""
    with pytest.raises(SettingsError, match=r"VOUCHER_NOTIFY_SECRET is not whsec_ and .*openssl rand -base64") as error:
        read("https://hooks.example/x", SECRET=secret)
    assert secret not in str(error.value) or secret == "whsec_"


def test_a_good_secret_is_its_bytes() -> None:
    """The key is what the base64 after whsec_ stands for; 24 to 64 bytes are allowed."""
    for size in (24, 32, 64):
        found = read("https://h.example/", SECRET=f"whsec_{base64.b64encode(bytes(size)).decode()}")
        assert found
        assert found.key == bytes(size)
        assert "key" not in repr(found)


def test_an_unknown_form_is_an_error() -> None:
    """A form that is none is refused; its value is not shown, because a URL may stand there by mistake."""
    with pytest.raises(SettingsError, match="VOUCHER_NOTIFY_FORM is not webhook, slack or teams; unset") as error:
        read("https://h.example/", FORM=WORD)
    assert WORD not in str(error.value)


@pytest.mark.parametrize("words", [("run", "--source", "nowhere"), ("rollback", "a" * 16, "--reason", "x")])
def test_a_bad_setting_is_found_before_anything_happens(
    command: Callable[..., CompletedProcess[str]], words: tuple[str, ...]
) -> None:
    """`run` and `rollback` end with the error of a bad URL before they change anything."""
    found = command(*words, VOUCHER_NOTIFY_URL=WORD)
    assert found.returncode == 1
    assert found.stderr.startswith("error: VOUCHER_NOTIFY_URL is not a URL")


@pytest.mark.parametrize(
    ("text", "url"),
    [("http://localhost:8000", None), ("https://v.example/vouchers/", "https://v.example/vouchers"),
     ("https://[::1]:8/", "https://[::1]:8"), ("", None), (" https://v.example ", "https://v.example")],
)  # fmt: skip
def test_the_page_may_be_under_a_path(text: str, url: str | None) -> None:
    """VOUCHER_PAGE_URL may have a path; the slash at its end is left out."""
    assert page_url({"VOUCHER_PAGE_URL": text}) == (text if url is None else url)


@pytest.mark.parametrize("text", ["v.example/x", "ftp://v.example", f"https://u:{WORD}@v.example", f"https://v/?{WORD}",
                                  f"https://v/#{WORD}", "https://", "https:///x", "javascript:alert(1)"])  # fmt: skip
def test_a_bad_page_is_an_error(text: str) -> None:
    """Another value is refused; it is shown only if nothing in it can be a secret."""
    with pytest.raises(
        SettingsError, match=r"VOUCHER_PAGE_URL (is 'v\.example/x', |has a value that is )not a URL"
    ) as error:
        page_url({"VOUCHER_PAGE_URL": text})
    assert WORD not in str(error.value)
