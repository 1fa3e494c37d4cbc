"""What a user writes about dbt: where its project is, and what a build has to be."""

from datetime import timedelta
from typing import Literal

from pydantic import field_validator

from connector.rules.grammar import Closed, Duration, Name


class DbtSettings(Closed):
    """Where dbt's project is, and when a run may read what it has built."""

    project: Name = "."
    """The folder with dbt_project.yml, relative to this file."""
    target: Name | None = None
    """The target of profiles.yml whose database and schema the models must be in: what somebody has
    built for another one in the same folder is not sent."""
    profile: Name | None = None
    """The profile of profiles.yml. Left out: the one that dbt_project.yml names."""
    profiles_dir: Name | None = None
    """The folder with profiles.yml. Left out: as dbt looks for it."""
    require: Literal["passed", "fresh"] | None = None
    """passed: a run is held unless its model, and its tests of severity error, passed in the last
    build. fresh: also unless the sources that it comes from passed `dbt source freshness`."""
    max_age: Duration | None = None
    """A run is held when its model was built longer ago."""

    @field_validator("max_age")
    @classmethod
    def _some_time(cls, age: timedelta | None) -> timedelta | None:
        if age is not None and age <= timedelta(0):
            raise ValueError("expected a duration such as 6h")
        return age


class DbtConnection(Closed):
    """A connection that is written in dbt's profiles.yml."""

    profile: Name | None = None
    """Left out: the one that dbt_project.yml names."""
    target: Name | None = None
    """Left out: that of `dbt`, or else the one that the profile names."""
