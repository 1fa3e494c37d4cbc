"""The integrations of orchestrators, as far as they need none of them."""
