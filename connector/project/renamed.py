"""Rows that are recorded under their activation's earlier name, until a run takes them over."""

from collections.abc import Sequence

from connector.project.reporting import Reporting
from connector.rules.deed import Document


def as_called_now(project: Reporting, documents: Sequence[Document]) -> list[Document]:
    """`documents` of rows, each with the name that its activation has now."""
    configured = project.settings.project.activations
    earlier = {str(a.renamed_from): name for name, a in configured.items() if a.renamed_from}
    some = {each["activation"] for each in documents} & (earlier.keys() - configured.keys())
    if not some:
        return list(documents)
    with project.reports() as reports:
        now = {was: earlier[was] for was in some if reports.is_under(was, earlier[was])}
    return [
        {**each, "activation": now.get(each["activation"], each["activation"])}
        for each in documents
    ]
