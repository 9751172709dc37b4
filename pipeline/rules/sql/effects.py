"""The SQL that says what vouchers did: for each amount how many customers redeemed it, at what cost, and what policies
are worth. `evaluate` runs it; see docs/effects.md.

Outcomes of one cluster (what was decided together: by default, a UTC day) are not independent of each other, so all
intervals treat clusters as `intervals` treats sends. Where the probability of each voucher is known, each outcome
weighs 1 / propensity, and the difference between two amounts is an effect; where not, it is an association. Vouchers
with a propensity of 1 were not left to chance, and count for no effect.

Values of policies are self-normalized (A. Swaminathan and T. Joachims, "The Self-Normalized Estimator for
Counterfactual Learning", NIPS 2015).
"""

from pipeline.rules.sql.intervals import Z

CHOOSE = ("most_used", "cheapest_effect", "best_effect")
LEAST_CLUSTERS, LEAST_CUSTOMERS, HEAVIEST = 10, 100, 10
NOT_CHANCE = "who got which amount was not left to chance"


def refused(weight: str, squared: str, heaviest: str, rows: str, clusters: str) -> str:
    """Return SQL for why figures must not be told, in words; NULL if they may be."""
    customers = f"{weight} ** 2 / {squared}"
    return f"""CASE WHEN {clusters} < {LEAST_CLUSTERS}
      THEN 'only ' || {clusters} || ' of the {LEAST_CLUSTERS} clusters needed'
    WHEN {customers} < {LEAST_CUSTOMERS}
      THEN 'worth only ' || CAST(floor({customers}) AS INTEGER) || ' of the {LEAST_CUSTOMERS} customers needed'
    WHEN {heaviest} > {HEAVIEST} * {weight} / {rows}
      THEN 'one customer weighs more than {HEAVIEST} times the mean' END"""


# What is known of each amount in each cluster. Reads the table `placed`, whose `unit_cost` is that of a redemption.
TRIED = """WITH known AS (
  SELECT *, coalesce(cluster, CAST(sent AS UBIGINT), 0) AS together,
    sum(known) OVER segment = sum(weighed + certain) OVER segment AND sum(weighed) OVER segment > 0 AS by_chance
  FROM placed WHERE known > 0 AND segment IS NOT NULL AND voucher_amount IS NOT NULL
  WINDOW segment AS (PARTITION BY country_code, segment_name, segment)
)
SELECT country_code, segment_name, segment, voucher_amount, together AS cluster, by_chance,
    CAST(sum(CASE WHEN by_chance THEN weighed ELSE known END) AS DOUBLE) AS rows,
    CAST(sum(CASE WHEN by_chance THEN weight ELSE known END) AS DOUBLE) AS weight,
    CAST(sum(CASE WHEN by_chance THEN weight_squared ELSE known END) AS DOUBLE) AS squared,
    CAST(max(CASE WHEN by_chance THEN heaviest ELSE 1 END) AS DOUBLE) AS heaviest,
    CAST(coalesce(sum(CASE WHEN by_chance THEN weighted_redemptions ELSE redemptions END), 0) AS DOUBLE) AS redeemed,
    coalesce(sum(unit_cost * CAST(CASE WHEN by_chance THEN weighted_redemptions ELSE redemptions END AS DOUBLE)
      ORDER BY unit_cost, weighted_redemptions, redemptions), 0) AS cost
  FROM known GROUP BY ALL HAVING rows > 0"""

# Reads the table `tried`. Ordered sums are the same in every run, whatever the number of threads.
EFFECTS = f"""WITH totals AS (
  SELECT country_code, segment_name, segment, voucher_amount, by_chance, sum(rows) AS known, count(*) AS clusters,
    sum(weight ORDER BY cluster) AS weight, sum(redeemed ORDER BY cluster) / sum(weight ORDER BY cluster) AS share,
    sum(cost ORDER BY cluster) / sum(weight ORDER BY cluster) AS cost,
    {refused("sum(weight ORDER BY cluster)", "sum(squared ORDER BY cluster)", "max(heaviest)", "sum(rows)", "count(*)")}
      AS refused
  FROM tried GROUP BY ALL
), smallest AS (
  SELECT country_code, segment_name, segment, voucher_amount AS compared_with, share AS least_share, cost AS least_cost
  FROM totals WHERE refused IS NULL
  QUALIFY row_number() OVER (PARTITION BY country_code, segment_name, segment ORDER BY voucher_amount) = 1
), residuals AS (
  SELECT country_code, segment_name, segment, tried.voucher_amount, cluster,
    (tried.redeemed - share * tried.weight) / totals.weight AS residual, compared_with
  FROM tried JOIN totals USING (country_code, segment_name, segment, voucher_amount)
    LEFT JOIN smallest USING (country_code, segment_name, segment)
), apart AS (
  SELECT country_code, segment_name, segment, voucher_amount, cluster, sum(residual ORDER BY residual) AS residual
  FROM (
    SELECT country_code, segment_name, segment, voucher_amount, cluster, residual FROM residuals
    UNION ALL
    SELECT country_code, segment_name, segment, totals.voucher_amount, cluster, -residual
    FROM residuals JOIN totals USING (country_code, segment_name, segment)
    WHERE residuals.voucher_amount = compared_with
  ) GROUP BY ALL
), errors AS (
  SELECT country_code, segment_name, segment, voucher_amount,
    {Z} * sqrt(count(*) / (count(*) - 1) * sum(residual ** 2 ORDER BY cluster)) AS error
  FROM residuals GROUP BY ALL
), errors_apart AS (
  SELECT country_code, segment_name, segment, voucher_amount,
    {Z} * sqrt(count(*) / (count(*) - 1) * sum(residual ** 2 ORDER BY cluster)) AS error_apart
  FROM apart GROUP BY ALL
), told AS (
  SELECT *, CASE WHEN refused IS NULL AND voucher_amount <> compared_with THEN share - least_share END AS difference
  FROM totals LEFT JOIN smallest USING (country_code, segment_name, segment)
    LEFT JOIN errors USING (country_code, segment_name, segment, voucher_amount)
    LEFT JOIN errors_apart USING (country_code, segment_name, segment, voucher_amount)
)
SELECT country_code, segment_name, segment, voucher_amount, CAST(known AS BIGINT) AS known, clusters,
    CASE WHEN by_chance THEN 'effect' ELSE 'association' END AS evidence,
    CASE WHEN refused IS NULL THEN share END AS share,
    CASE WHEN refused IS NULL THEN greatest(share - error, 0) END AS share_low,
    CASE WHEN refused IS NULL THEN least(share + error, 1) END AS share_high,
    CASE WHEN refused IS NULL THEN cost END AS cost,
    CASE WHEN difference IS NOT NULL THEN compared_with END AS compared_with,
    difference, difference - error_apart AS difference_low, difference + error_apart AS difference_high,
    CASE WHEN by_chance AND difference > error_apart THEN (cost - least_cost) / difference END AS further_cost,
    refused
  FROM told"""

# Reads the tables `effects`, `most_used` and `tried`. An amount that is chosen and valued on the same rows looks better
# than it is, so "best by outcome" is chosen on each half of the clusters and valued on the other (`valued_on`; 2 is for
# both). The errors of the halves are added: they are not independent, as each half decides what the other one values.
POLICIES = f"""WITH halves AS (
  SELECT *, row_number() OVER (PARTITION BY country_code, segment_name
    ORDER BY md5_number_lower(CAST(cluster AS VARCHAR)), cluster) % 2 AS half
  FROM (SELECT DISTINCT country_code, segment_name, cluster FROM tried)
), split AS (
  SELECT * FROM tried JOIN halves USING (country_code, segment_name, cluster)
), shares AS (
  SELECT country_code, segment_name, segment, voucher_amount, half,
    sum(redeemed ORDER BY cluster) / sum(weight ORDER BY cluster) AS share
  FROM split GROUP BY ALL
), given AS (
  SELECT country_code, segment_name, segment, 'most used' AS policy, voucher_amount, 1.0 AS chance, 2 AS valued_on
  FROM most_used WHERE (country_code, segment_name, segment) IN
    (SELECT (country_code, segment_name, segment) FROM effects)
  UNION ALL
  SELECT country_code, segment_name, segment, 'best by outcome', voucher_amount, 1.0, half
  FROM shares JOIN effects USING (country_code, segment_name, segment, voucher_amount)
    LEFT JOIN (SELECT * REPLACE (1 - half AS half) FROM shares) AS other
      USING (country_code, segment_name, segment, voucher_amount, half)
  QUALIFY row_number() OVER (PARTITION BY country_code, segment_name, segment, half
    ORDER BY effects.share IS NULL, other.share DESC NULLS LAST, voucher_amount) = 1
  UNION ALL
  SELECT country_code, segment_name, segment, 'uniform', voucher_amount, 1 / count(*) OVER (PARTITION BY
    country_code, segment_name, segment), 2 FROM effects
), weighed AS (
  SELECT given.country_code, given.segment_name, policy, valued_on, cluster, sum(rows) AS rows,
    sum(chance * weight ORDER BY chance * weight) AS weight,
    sum(chance ** 2 * squared ORDER BY chance ** 2 * squared) AS squared, max(chance * heaviest) AS heaviest,
    sum(chance * redeemed ORDER BY chance * redeemed) AS redeemed, sum(chance * cost ORDER BY chance * cost) AS cost,
    'nobody in ' || min(given.segment || ' got ' || printf('%.10g', CAST(given.voucher_amount AS DOUBLE)))
      FILTER (WHERE cluster IS NULL) AS without
  FROM given LEFT JOIN split ON split.country_code = given.country_code AND split.segment_name = given.segment_name
    AND split.segment = given.segment AND split.voucher_amount = given.voucher_amount AND valued_on IN (half, 2)
  GROUP BY ALL
), totals AS (
  SELECT country_code, segment_name, policy, sum(rows) AS known, count(cluster) AS clusters,
    sum(weight ORDER BY cluster) AS all_weight, sum(redeemed ORDER BY cluster) / all_weight AS value,
    sum(cost ORDER BY cluster) / all_weight AS cost, min(without) AS without,
    {refused("all_weight", "sum(squared ORDER BY cluster)", "max(heaviest)", "sum(rows)", "count(cluster)")} AS refused
  FROM weighed GROUP BY ALL
), values_of_parts AS (
  SELECT country_code, segment_name, policy, valued_on,
    sum(redeemed ORDER BY cluster) / sum(weight ORDER BY cluster) AS value
  FROM weighed GROUP BY ALL
), errors_of_parts AS (
  SELECT country_code, segment_name, policy, valued_on, {Z} * sqrt(count(cluster) / nullif(count(cluster) - 1, 0)
      * sum((redeemed - value * weight) ** 2 ORDER BY cluster)) AS error
  FROM weighed JOIN values_of_parts USING (country_code, segment_name, policy, valued_on) GROUP BY ALL
), errors AS (
  SELECT country_code, segment_name, policy,
    CASE WHEN count(error) = count(*) THEN sum(error ORDER BY valued_on) END AS error,
    CASE WHEN count(error) < count(*) THEN 'only 1 cluster in one half of them, and 2 needed' END AS lone
  FROM errors_of_parts GROUP BY ALL
), told AS (
  SELECT country_code, segment_name, policy, CAST(coalesce(known, 0) AS BIGINT) AS known, clusters, value, cost,
    error / all_weight AS error,
    CASE WHEN NOT by_chance THEN '{NOT_CHANCE}' ELSE coalesce(without, refused, lone) END AS refused
  FROM totals JOIN errors USING (country_code, segment_name, policy)
    JOIN (SELECT country_code, segment_name, bool_and(by_chance) AS by_chance FROM tried GROUP BY ALL) AS chance
    USING (country_code, segment_name)
)
SELECT country_code, segment_name, policy, known, clusters,
    CASE WHEN refused IS NULL THEN value END AS value,
    CASE WHEN refused IS NULL THEN greatest(value - error, 0) END AS value_low,
    CASE WHEN refused IS NULL THEN least(value + error, 1) END AS value_high,
    CASE WHEN refused IS NULL THEN cost END AS cost, refused
  FROM told"""

# The answers: the most used amounts, except where a kind chooses by effect and one is known and clear: more customers
# redeem the amount than the smallest one tried. Reads the tables `defined`, `effects`, `most_used` and `votes`.
ANSWERS = """WITH chosen AS (
  SELECT country_code, segment_name, segment, effects.voucher_amount AS chosen
  FROM effects JOIN defined USING (segment_name, segment)
  WHERE choose <> 'most_used' AND evidence = 'effect' AND difference_low > 0
  QUALIFY row_number() OVER (PARTITION BY country_code, segment_name, segment
    ORDER BY CASE choose WHEN 'cheapest_effect' THEN further_cost ELSE -share END, effects.voucher_amount) = 1
)
SELECT most_used.* REPLACE (
    coalesce(chosen, most_used.voucher_amount) AS voucher_amount,
    CASE WHEN chosen <> most_used.voucher_amount THEN coalesce(votes.uses, 0) ELSE most_used.uses END AS uses,
    CASE WHEN chosen <> most_used.voucher_amount THEN most_used.voucher_amount ELSE runner_up_amount END
      AS runner_up_amount,
    CASE WHEN chosen <> most_used.voucher_amount THEN most_used.uses ELSE runner_up_uses END AS runner_up_uses,
    CASE WHEN chosen IS NULL THEN basis ELSE 'effect' END AS basis,
    tied AND chosen IS NULL AS tied)
  FROM most_used LEFT JOIN chosen USING (country_code, segment_name, segment)
    LEFT JOIN votes ON (votes.country_code, votes.segment_name, votes.segment, votes.voucher_amount)
      = (most_used.country_code, most_used.segment_name, most_used.segment, chosen)"""
