"""A customer in, a voucher amount out: `POST /voucher` and `POST /vouchers`."""
