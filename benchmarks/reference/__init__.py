"""What to compare with. Each is what one would write first, and right: those that look answer alike.

The servers take the same request as POST /voucher, trust it, and read DATABASE_URL.
"""

# Psycopg2 and SQLAlchemy's text() each write parameters their own way.
QUERY = """
SELECT voucher_amount
FROM voucher.current_run JOIN voucher.run USING (run_id) JOIN voucher.segment USING (run_id)
WHERE country_code = {country_code} AND segment_name = {segment_name}
    AND CASE measure WHEN 'total_orders' THEN {total_orders} ELSE coalesce(today, current_date) - {last_order_ts} END
        BETWEEN lower_bound AND coalesce(upper_bound, 2147483647)
"""
