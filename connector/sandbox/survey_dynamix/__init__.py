"""Survey Dynamix (Mindful Feedback) as a sandbox imitates it: persons who get surveys."""
