"""How the templates write numbers, times and addresses. Registered on the page's blueprint by `routes`."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, request, url_for

from app.page.try_form import FORM
from app.published import effects
from shared.addresses import redact

SAME, TIMES = 0.005, 2  # how far a ratio may be from 1 to be "about" it, and from where on it is told in times
PARAMETERS = ("country", *FORM, "old", "new", "overview")  # the query parameters of the page


def register(blueprint: Blueprint) -> None:
    """Make these functions known to the templates."""
    for made in (redact, effects.money, count, percent, amount, day, moment, second, age, against):
        blueprint.add_app_template_filter(made)
    blueprint.add_app_template_global(page_url)
    blueprint.add_app_template_global(kept)


def page_url(section: str = "", **changed: str | None) -> str:
    """Return the URL of the page with the current query parameters, except those in `changed`; None drops one."""
    return url_for("pages.index", _anchor=section or None, **(_current() | changed))


def kept(*fields: str) -> dict[str, str]:
    """Return the current query parameters that a form with these fields has to send along."""
    return {name: value for name, value in _current().items() if name not in fields}


def _current() -> dict[str, Any]:
    return {name: request.args[name] for name in PARAMETERS if name in request.args}


def count(number: int) -> str:
    return f"{number:,}"


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}" + "\N{NO-BREAK SPACE}%"


def amount(value: Decimal | float, digits: int = 0) -> str:
    """Format as 2,640.

    An amount with decimals has two digits. `digits` sets their number, so that all amounts of a list have the same.
    """
    return f"{value:,.{digits or (2 if value % 1 else 0)}f}"


def against(value: Decimal, mean: Decimal) -> str:
    """Compare an amount with a mean that is not 0: 18 % less than, 59 % more than, 2.5 times, about."""
    ratio = float(value / mean)
    if abs(ratio - 1) < SAME:
        return "about"
    if ratio >= TIMES:
        return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than"


def day(when: date) -> str:
    """Format as 14 Jul 2018."""
    return f"{when.day} {when:%b %Y}"


def moment(when: datetime) -> str:
    """Format as 14 Jul 2018, 21:00 UTC."""
    return f"{day(when)}, {when:%H:%M} UTC"


def second(when: datetime) -> str:
    """Format as 14 Jul 2018, 21:00:05 UTC, to tell two publications of a minute apart."""
    return f"{day(when)}, {when:%H:%M:%S} UTC"


def age(days: float) -> str:
    """Format a number of days as 8 years, 13 months or 3 days."""
    for unit, length in (("years", 365.25), ("months", 30.44)):
        if days >= 2 * length:
            return f"{days / length:.0f} {unit}"
    return "1 day" if round(days) == 1 else f"{days:.0f} days"
