"""A synthetic voucher history, of any length: `python -m sample FILE`, or `python -m sample FOLDER --rows N`."""
