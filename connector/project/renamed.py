"""Rows that are recorded under their activation's earlier name, until a run takes them over."""

from collections.abc import Collection, Mapping, Sequence

from connector.project.reporting import Reporting
from connector.rules.deed import Document


def as_called_now(project: Reporting, documents: Sequence[Document]) -> list[Document]:
    """`documents` of rows, each with the name that its activation has now."""
    now = called_now(project, {each["activation"] for each in documents})
    return [{**each, "activation": now[each["activation"]]} for each in documents]


def called_now(project: Reporting, names: Collection[str]) -> Mapping[str, str]:
    """The name that each of the activations has now which are recorded under `names`."""
    configured = project.settings.project.activations
    earlier = {str(a.renamed_from): name for name, a in configured.items() if a.renamed_from}
    now = {name: name for name in names}
    if some := now.keys() & (earlier.keys() - configured.keys()):
        with project.reports() as reports:
            now |= {was: earlier[was] for was in some if reports.is_under(was, earlier[was])}
    return now
