"""What dbt leaves behind in `target/`: which relation a model is, and how its last build went."""
