"""Syncs of the connector as assets of Dagster.

    from engage_connector_dagster import ConnectorResource, connector_assets

    sent = connector_assets("/srv/connector/activations.yaml")
    connector = ConnectorResource(config="/srv/connector/activations.yaml")
    defs = dg.Definitions(
        assets=sent.assets, asset_checks=sent.checks, resources={"connector": connector}
    )

The connector is a process of its own, in an environment of its own if it shall be: this package
needs nothing of it, and it nothing of Dagster. Each part is loaded by what needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engage_connector_dagster.assets import ConnectorAssets, connector_assets
    from engage_connector_dagster.resource import ConnectorResource

__version__ = "0.1.0"
__all__ = ["ConnectorAssets", "ConnectorResource", "connector_assets"]
HOMES = {
    "ConnectorAssets": "assets",
    "ConnectorResource": "resource",
    "connector_assets": "assets",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
