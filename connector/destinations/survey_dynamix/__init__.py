"""Survey Dynamix (Mindful Feedback): each row asks for one survey of one person, and carries a
reference of its own, by which a lost answer is settled."""

from typing import TYPE_CHECKING

from connector.destinations.port import Kind, Wiring
from connector.destinations.survey_dynamix.grammar import (
    CAN,
    SurveyDynamixActivation,
    SurveyDynamixSettings,
    shape_of,
)

if TYPE_CHECKING:
    from connector.destinations.survey_dynamix.client import SurveyDynamix


def _open(settings: SurveyDynamixSettings, wiring: Wiring) -> "SurveyDynamix":
    from connector.destinations.survey_dynamix.client import SurveyDynamix  # pays for HTTP

    return SurveyDynamix(settings, wiring)


KIND = Kind(
    "survey_dynamix",
    "Survey Dynamix",
    SurveyDynamixSettings,
    SurveyDynamixActivation,
    lambda _: CAN,
    _open,
    shape=shape_of,
    stays="A survey that has started cannot be taken back: its person has got it.",
)

__all__ = ["KIND", "SurveyDynamixActivation", "SurveyDynamixSettings"]
