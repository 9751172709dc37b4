"""SQL that has the answers of a run beside those of the published one, by country. Used by `comparison` and `runner`.

An answer is found again by its label. Where bounds moved, `publish.changes` compares more finely: these audits warn
of a relabelled answer too, because requests and reports know the labels.
"""

from typing import Any

from shared.countries import country_key

# Each spelling of a country in either run, with a number that is the same for all spellings of one (see `parameters`).
# What Postgres' lower() does depends on the database's locale, and the database may lack a letter of the key.
COUNTRIES = "unnest(%(spellings)s::text[], %(numbers)s::integer[]) AS spelled (country_code, country)"

# The answers of run %(run_id)s whose amounts differ from those of run %(published)s.
ANSWERS = f"""SELECT old.voucher_amount AS old_amount
  FROM (SELECT * FROM voucher.segment JOIN {COUNTRIES} USING (country_code) WHERE run_id = %(published)s) AS old
  FULL JOIN (SELECT * FROM voucher.segment JOIN {COUNTRIES} USING (country_code) WHERE run_id = %(run_id)s) AS new
    USING (country, segment_name, segment)
  WHERE old.voucher_amount IS DISTINCT FROM new.voucher_amount"""  # noqa: S608

# What a run has just written has no statistics yet: Postgres would take it for a few rows, and choose joins whose time
# grows with the square of the countries.
HASH_JOINS = "SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off"


def parameters(cursor: Any, run_id: str, published: str | None) -> dict[str, Any]:
    """Return the parameters of the audits: the two runs, and the spellings of their countries with their numbers."""
    runs = {"run_id": run_id, "published": published}
    cursor.execute(
        "SELECT DISTINCT country_code FROM voucher.segment WHERE run_id IN (%(run_id)s, %(published)s)", runs
    )
    spellings = [row.country_code for row in cursor.fetchall()]
    numbers: dict[str, int] = {}
    of_keys = [numbers.setdefault(country_key(spelling), len(numbers)) for spelling in spellings]
    return runs | {"spellings": spellings, "numbers": of_keys}
