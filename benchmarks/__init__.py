"""What a row costs, side by side with other tools: `make bench` writes docs/performance.md."""
