"""What OpenLineage is told of a sync, where its provider is installed."""

from collections.abc import Mapping, Sequence
from typing import Any


def lineage(
    reads: Sequence[tuple[str, str]],
    destination: str,
    activation: str,
    counts: Mapping[str, Any],
) -> Any:
    """Inputs, the one output with the number of rows, and how the run ended; None where there is no
    provider of OpenLineage, which would be the one to ask."""
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset, OutputDataset
        from openlineage.client.generated.output_statistics_output_dataset import (
            OutputStatisticsOutputDatasetFacet,
        )
    except ImportError:
        return None
    rows = OutputStatisticsOutputDatasetFacet(rowCount=int(counts.get("delivered") or 0))
    return OperatorLineage(
        inputs=[InputDataset(namespace=space, name=name) for space, name in reads],
        outputs=[
            OutputDataset(
                namespace=f"connector://{destination}",
                name=activation,
                outputFacets={"outputStatistics": rows},
            )
        ],
    )
