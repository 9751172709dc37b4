"""The stack on one machine without Docker, and what the tests borrow from it. Nothing here is part of the product."""
