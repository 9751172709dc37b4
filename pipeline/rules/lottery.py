"""The lottery of segments.toml: which customers get an amount by chance instead of the table's. Called by `segments`.

A customer's place in [0, 1) is drawn by the service, from `customer_id` and the salt. The first stretch of it, as long
as the holdout's share, gets the holdout's amount; the next, as long as the lottery's share, is divided evenly among the
amounts that take part; the rest gets the table's amount. A run publishes the stretches as whole numbers of tickets, so
that the probabilities of a segment add up to 1 exactly.
"""

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from math import lcm

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.rules import tomlfile

LEAST_VOTES = 0.01  # share of the country's votes of an amount that takes part by default
DIGITS = 6  # of a share

# Reads the tables `answers`, `votes_by_country` and `named` (country_code, voucher_amount: what the file names), and
# takes how many of all `tickets` the holdout and the lottery get, for one amount that takes part.
DRAWS = f"""WITH taking AS (
  SELECT country_code, voucher_amount FROM named
  UNION
  SELECT country_code, voucher_amount FROM votes_by_country
    WHERE uses >= {LEAST_VOTES} * votes AND country_code NOT IN (SELECT country_code FROM named)
), counted AS (
  SELECT *, count(*) OVER country AS amounts, min(voucher_amount) OVER country AS smallest,
    row_number() OVER (country ORDER BY voucher_amount) AS place
  FROM taking WINDOW country AS (PARTITION BY country_code)
), stretches AS (
  SELECT country_code, 0 AS position, 'holdout' AS chosen_by, coalesce($amount, smallest) AS voucher_amount,
    $holdout * amounts AS tickets FROM counted WHERE place = 1
  UNION ALL
  SELECT country_code, place, 'lottery', voucher_amount, $lottery FROM counted
  UNION ALL
  SELECT country_code, amounts + 1, 'table', NULL, ($tickets - $holdout - $lottery) * amounts
    FROM counted WHERE place = 1
)
SELECT country_code, segment_name, segment, CAST(stretches.position AS INTEGER) AS position, chosen_by,
    CAST(coalesce(stretches.voucher_amount, answers.voucher_amount) AS DECIMAL(12, 2)) AS voucher_amount,
    CAST(tickets AS BIGINT) AS tickets, $salt AS salt
  FROM answers JOIN stretches USING (country_code)
  WHERE tickets > 0 AND $holdout + $lottery > 0"""


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Holdout:
    """The `share` of customers who always get the smallest amount that takes part, or `amount`."""

    share: Decimal = Field(default=Decimal(0), ge=0, le=1, decimal_places=DIGITS)
    amount: Decimal | None = Field(default=None, ge=0, decimal_places=2, max_digits=12)


@dataclass(frozen=True, config=tomlfile.CHECKS)
class Lottery:
    """The `share` of customers who draw, the `salt` of the draw, and which amounts take part.

    amounts: by country; in others, those with at least LEAST_VOTES of the country's votes.
    """

    share: Decimal = Field(default=Decimal(0), ge=0, le=1, decimal_places=DIGITS)
    salt: str = ""
    amounts: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)

    def fault(self, holdout: Holdout) -> str:
        """Return what is wrong with the two, and what to do; '' if nothing is."""
        if self.share + holdout.share > 1:
            return f"lottery and holdout: the shares {self.share} and {holdout.share} are more than 1 together"
        if self.share + holdout.share > 0 and not self.salt.strip():
            return 'lottery: salt is missing; set one, e.g. salt = "spring 2027". Another salt draws anew'
        for country, amounts in self.amounts.items():
            if not amounts:
                return (
                    f"lottery: amounts of {country!r} is empty; leave the country out to let the usual ones take part"
                )
            if bad := [amount for amount in amounts if amount < 0 or amount != round(amount, 2) or amount >= 10**10]:
                return f"lottery: amount {bad[0]} of {country!r} is not a number from 0 with at most two decimals"
        return ""

    def tickets(self, holdout: Holdout) -> dict[str, object]:
        """Return the parameters of DRAWS."""
        shares = [each.share.as_integer_ratio() for each in (self, holdout)]
        tickets = lcm(*(whole for _, whole in shares))
        lottery, held = (tickets // whole * part for part, whole in shares)
        return {"tickets": tickets, "lottery": lottery, "holdout": held, "amount": holdout.amount, "salt": self.salt}
