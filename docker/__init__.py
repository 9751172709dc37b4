"""Scripts that the images run, besides the product itself. Only tests import them."""
