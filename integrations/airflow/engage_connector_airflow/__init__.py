"""Syncs of the connector as tasks of Apache Airflow.

    from engage_connector_airflow import connector_dags

    globals().update(connector_dags("/srv/connector/activations.yaml"))

The connector is a process of its own, in an environment of its own if it shall be: this package
needs nothing of it, and it nothing of Airflow. Each part is loaded by what needs it, so that what
judges the end of a sync is there without Airflow, too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engage_connector_airflow.dags import connector_dags, pools
    from engage_connector_airflow.operators import ConnectorSyncOperator
    from engage_connector_airflow.serving import ConnectorServeOperator

__version__ = "0.1.0"
__all__ = [
    "ConnectorServeOperator",
    "ConnectorSyncOperator",
    "connector_dags",
    "get_provider_info",
    "pools",
]
HOMES = {
    "ConnectorServeOperator": "serving",
    "ConnectorSyncOperator": "operators",
    "connector_dags": "dags",
    "pools": "dags",
}


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks a provider."""
    return {
        "package-name": "airflow-provider-engage-connector",
        "name": "Engage Connector",
        "description": "Sends warehouse rows to Voyado Engage: never twice, never lost.",
        "versions": [__version__],
    }


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
