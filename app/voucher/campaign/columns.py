"""Which column of a file holds which field of a customer, and which columns the answer adds. Used by `files`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from app.errors import ApiError, echo
from app.published.snapshot import Snapshot
from app.voucher.campaign.records import SEPARATORS, Record, Records
from app.voucher.customer import REQUIRED, Customer

ANSWER = ("voucher_amount", "problem")
# Fields of an explanation, in the answer if `explain` is true.
# The segment is given by its bounds, because spreadsheets take some labels for dates.
EVIDENCE = (
    *("because", "lower_bound", "upper_bound", "basis", "share", "sends", "clear", "currency", "mean_amount"),
    *("chosen_by", "propensity"),
)
FIELDS = Customer._fields
MAX_NAMES = 20  # names that an error lists
MAX_COLUMNS = 1_000


class BadColumnsError(ApiError):
    """The first line of a file does not name the columns that an answer needs."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "bad-columns"
    title = "Invalid columns"


@dataclass(frozen=True)
class Columns:
    """The columns of a file: their names as sent, and the position of each field of a customer."""

    names: tuple[str, ...]
    places: Mapping[str, int]
    added: tuple[str, ...]

    @classmethod
    def read(cls, records: Records, given: Mapping[str, str], explain: bool) -> "Columns":
        """Read the first record of a file and set the separator of the others.

        `given` are the fields that all customers share. Raises BadColumnsError or NotUTF8Error.
        """
        records.separator = _separator(records)
        header = records.read()
        if header is None:
            raise BadColumnsError(f"The file is empty. The first line must name the columns: {', '.join(FIELDS)}.")
        if header.problem:
            raise BadColumnsError(f"The first line, which names the columns, is unreadable: {header.problem}.")
        keys = [_key(name) for name in header.cells]
        added = (*ANSWER, *(EVIDENCE if explain else ()))
        _check(header.cells, keys, given, added)
        return cls(tuple(header.cells), {name: keys.index(name) for name in FIELDS if name in keys}, added)

    def check_kinds(self, run: Snapshot, given: Mapping[str, str]) -> None:
        """Check that the file has the field that its segment kind measures.

        If a column tells the kind, the field of any kind will do. Raises BadColumnsError or UnknownKindError.
        """
        kind = given.get("segment_name")
        fields = [run.kind(kind).field] if kind else list(dict.fromkeys(kind.field for kind in run.kinds))
        if not any(field in self.places for field in fields):
            needed = f"{kind} needs the column" if kind else "An answer needs one of the columns"
            raise BadColumnsError(f"{needed} {', '.join(fields)}. {_has(self.names)}")


def _separator(records: Records) -> str:
    """Return the separator with which the first record has most fields of a customer; then, with most cells."""

    def found(separator: str) -> tuple[int, int]:
        cells = header.cells if (header := records.peek(separator)) else []
        return len({_key(cell) for cell in cells} & {*FIELDS}), len(cells)

    return max(SEPARATORS.values(), key=found)


def _key(name: str) -> str:
    return name.strip().casefold()


def _check(names: Sequence[str], keys: Sequence[str], given: Mapping[str, str], added: Sequence[str]) -> None:
    if any("\0" in name for name in names):
        raise BadColumnsError("The first line has NUL bytes, as UTF-16 has. In Excel, save the file as CSV UTF-8.")
    if len(names) > MAX_COLUMNS:
        raise BadColumnsError(f"The file has {len(names):,} columns, but may have at most {MAX_COLUMNS:,}.")
    for name in FIELDS:
        if keys.count(name) > 1:
            raise BadColumnsError(f"The file has the column {name} twice. Remove or rename one.")
    for name in added:
        if name in keys:
            raise BadColumnsError(f"The answer adds a column {name}, but the file has one. Rename or remove it.")
    for name in given:
        if name in keys:
            raise BadColumnsError(
                f"{name} is given for the whole file, but the file has a column {name}. Leave out the column, or "
                "the value for the whole file."
            )
    missing = [name for name in REQUIRED if name not in keys and name not in given]
    if missing:
        raise BadColumnsError(
            f"The file has no column {' and no column '.join(missing)}. {_has(names)} Name the columns in the first "
            f"line, or choose {' and '.join(missing)} for the whole file."
        )


def _has(names: Sequence[str]) -> str:
    """Return a sentence that lists the columns of the file."""
    shown = ", ".join(str(echo(name.strip())) for name in names[:MAX_NAMES])
    return f"The file has: {shown}{', …' if len(names) > MAX_NAMES else ''}."


def misfit(record: Record, columns: int) -> str:
    """Return why a record does not fit so many columns; "" if it does."""
    found = len(record.cells)
    if record.problem or found == columns:
        return record.problem
    left_out = "; the cells behind the last column are left out" if found > columns else ""
    return f"{found} cell{'s' * (found > 1)}, but {columns} columns{left_out}"
