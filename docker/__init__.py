"""What the images start, beside the product itself. Nothing of it is imported elsewhere, but by tests."""
