"""What `connector serve` answers: health, requests for runs, and pages to look at."""
