"""The page of destinations: how fast they are asked, what they answer, and what a probe found."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from connector.rules.deed import Document
from connector.rules.words import words
from connector.serve.service import Service
from connector.serve.web.charts import Chart, bars
from connector.serve.web.page import lasting, page


def destinations(request: Request) -> Response:
    """Every destination that is configured."""
    service = Service.of(request)
    return page(request, "destinations.html", "Destinations", destinations=list(_all(service)))


def _all(service: Service) -> Iterator[Document]:
    app = service.app
    project, rates = app.settings.project, service.rates()
    used = Counter(project.destination_of(each) for each in project.activations.values())
    with app.reports() as reports:
        probed = {name: reports.probes(d.place).last() for name, d in project.destinations.items()}
    for name, settings in project.destinations.items():
        breaker = service.breakers.get(name)
        asked = service.metrics.answers.get(name)
        yield {
            "name": name,
            "title": app.kind(name).title,
            "host": urlsplit(settings.url).netloc,
            "activations": used[name],
            "most": settings.requests_per_second,
            "now": rates[name],
            "timeout": lasting(settings.timeout.total_seconds()),
            "settle_after": lasting(settings.settle_after.total_seconds()),
            "tripped": bool(breaker and breaker.is_open),
            "failures": breaker.failures if breaker else 0,
            "tempo": asked.document if asked else None,
            "chart": _chart(asked.document) if asked else None,
            "probe": _findings(probed[name]),
        }


def _chart(tempo: Document) -> Chart:
    """Requests a second since this process asks there."""
    step, whole = tempo["step"], tempo["seconds"]
    values = [
        (f"{lasting(max(0.0, whole - place * step))} ago", number / step)
        for place, number in enumerate(tempo["requests"])
    ]
    return bars("Requests a second", values, "{:,.3g}".format)


def _findings(document: Document | None) -> Document | None:
    """When it was probed, and what was found, the answers that do not agree with what is
    documented first."""
    if document is None:
        return None
    answers = sorted(document["answers"], key=lambda each: each.get("agrees") is not False)
    found = [
        (words(each["question"]), str(each["answer"]), each.get("agrees"), each.get("means") or "")
        for each in answers
    ]
    return {"at": document["measured_at"], "answers": found}
