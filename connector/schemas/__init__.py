"""Interaction schemas as files: judged, proposed, compared with what is live, created, replaced."""
