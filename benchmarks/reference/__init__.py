"""References to compare with: simple and correct. Those that query the database give the same answers.

The servers take the same request as POST /voucher, without our checks. Those that query the database read DATABASE_URL.
"""

# psycopg2 and SQLAlchemy's text() have different parameter styles.
QUERY = """
SELECT voucher_amount
FROM voucher.current_run JOIN voucher.run USING (run_id) JOIN voucher.segment USING (run_id)
WHERE country_code = {country_code} AND segment_name = {segment_name}
    AND CASE measure WHEN 'total_orders' THEN {total_orders} ELSE coalesce(today, current_date) - {last_order_ts} END
        BETWEEN lower_bound AND coalesce(upper_bound, 2147483647)
"""
