"""Where the connector is, as a resource, and what of the environment its syncs are given."""

import os
from typing import Any

from dagster import ConfigurableResource

from engage_connector_dagster.process.command import GRACE, Connector, Log


class ConnectorResource(ConfigurableResource):  # type: ignore[type-arg, unused-ignore]
    """The connector and its project.

    `config`: the path of `activations.yaml`. `python`: the interpreter of the environment that the
    connector is installed in; Dagster's own when left out. `secrets`: variable to the variable of
    Dagster's environment whose value the sync is given, and Dagster's own processes are not asked
    to show. `env`: what is no secret. `grace`: seconds for a sync to end in order.
    """

    config: str
    python: str | None = None
    secrets: dict[str, str] = {}  # noqa: RUF012 - copied for each resource
    env: dict[str, str] = {}  # noqa: RUF012
    grace: float = GRACE

    def connector(self, log: Log) -> Connector:
        """The connector, whose lines are given to `log`. Raises KeyError for a variable that is not
        set."""
        secrets = {name: os.environ[variable] for name, variable in self.secrets.items()}
        return Connector(self.config, self.python, dict(self.env), secrets, self.grace, log)

    def run(self, *arguments: str, log: Log) -> Any:
        """Run one command; returns its document."""
        return self.connector(log).run(*arguments).document
