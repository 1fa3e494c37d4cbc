"""The APIs that interactions are sent to."""
