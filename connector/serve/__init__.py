"""The service: the scheduler that runs, its alerts and metrics, and its pages in web/."""
