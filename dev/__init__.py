"""The stack on one machine without Docker, also used by the tests. Nothing here is part of the product."""
