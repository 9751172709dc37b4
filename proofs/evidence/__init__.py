"""What the printed figures claim about the customers, compared with repeated samples of known truth."""
