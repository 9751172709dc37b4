"""The SQL that says how sure an answer is: 95 % intervals by send. `evaluate` runs it; `segments` counts the votes.

A send is a UTC day of `timestamp` on which a segment has a vote; votes without a timestamp are one send. Votes of one
send are not independent of each other, so the intervals treat the sends as clusters: a share is a ratio of cluster
totals (W. G. Cochran, Sampling Techniques, 3rd edition, chapter 9A).
"""

Z = 1.96  # of the normal distribution, for 95 %, two-sided
LEAST_SENDS = 10  # with fewer, the variance between sends is not known well enough

# Reads the tables `placed` and `answers`. Ordered sums are the same in every run, whatever the number of threads.
INTERVALS = f"""WITH sends AS (
  SELECT country_code, segment_name, segment, sent, sum(placed.rows) AS votes,
    coalesce(sum(placed.rows) FILTER (WHERE placed.voucher_amount = answers.voucher_amount), 0) AS won,
    coalesce(sum(placed.rows) FILTER (WHERE placed.voucher_amount = runner_up_amount), 0) AS second
  FROM placed JOIN answers USING (country_code, segment_name, segment)
  WHERE placed.voucher_amount IS NOT NULL
  GROUP BY ALL
), totals AS (
  SELECT country_code, segment_name, segment, count(*) AS sends, sum(votes) AS all_votes,
    sum(won) / sum(votes) AS share, (sum(won) - sum(second)) / sum(votes) AS lead
  FROM sends GROUP BY ALL
), errors AS (
  SELECT country_code, segment_name, segment, sends, share, lead,
    {Z} * sqrt(sends / (sends - 1) * sum((won - share * votes) ** 2 ORDER BY sent)) / all_votes AS share_error,
    {Z} * sqrt(sends / (sends - 1) * sum((won - second - lead * votes) ** 2 ORDER BY sent)) / all_votes AS lead_error
  FROM sends JOIN totals USING (country_code, segment_name, segment)
  GROUP BY country_code, segment_name, segment, sends, share, lead, all_votes
)
SELECT answers.*, CAST(coalesce(sends, 0) AS INTEGER) AS sends,
    CASE WHEN sends >= {LEAST_SENDS} THEN greatest(share - share_error, 0) END AS share_low,
    CASE WHEN sends >= {LEAST_SENDS} THEN least(share + share_error, 1) END AS share_high,
    CASE WHEN sends >= {LEAST_SENDS} THEN lead > lead_error END AS clear
  FROM answers LEFT JOIN errors USING (country_code, segment_name, segment)"""
