"""Find the countries of a run by any spelling, ISO code or name."""

from collections.abc import Iterable
from http import HTTPStatus

from app.errors import BadValue, BadValuesError, CustomerError, echo
from app.places.territories import territory
from shared.countries import country_key


class UnknownCountryError(CustomerError):
    """The run has no answer for this country. `known` lists the countries it has answers for, most rows first."""

    status = HTTPStatus.NOT_FOUND
    type = "unknown-country"
    title = "Unknown country"

    def __init__(self, country_code: str, known: Iterable[str]) -> None:
        detail = f"Unknown country_code {echo(country_code)!r}. Known values are listed in `known` and at /segments."
        super().__init__(detail, known=list(known))
        self.country_code = country_code


class AmbiguousCountryError(BadValuesError):
    """The history has several countries that the code or name may mean."""

    def __init__(self, country_code: str, names: Iterable[str]) -> None:
        detail = f"may mean any of {', '.join(map(repr, names))}; send one of them"
        super().__init__(BadValue("country_code", detail, (country_code,)))


class Countries:
    """The countries of a run. Iterating gives their names as stored, most rows first."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names, most rows first. Of several spellings of a country, the first is kept."""
        self._names: dict[str, str] = {}
        for name in names:
            self._names.setdefault(country_key(name), name)
        self._of_territory: dict[str, list[str]] = {}
        for name in self._names.values():
            if code := territory(name):
                self._of_territory.setdefault(code, []).append(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names.values())

    def find(self, given: str) -> str:
        """Return the name as stored. A spelling of the history goes before ISO codes and names of other languages.

        Raises UnknownCountryError or AmbiguousCountryError.
        """
        if name := self._names.get(country_key(given)):
            return name
        found = self._of_territory.get(territory(given) or "", ())
        if len(found) > 1:
            raise AmbiguousCountryError(given, found)
        if not found:
            raise UnknownCountryError(given, self._names.values())
        return found[0]
