"""`connector probe` of a Survey Dynamix: what is told is so, and nobody gets a survey."""

from typing import Any

import pytest

from connector.sandbox.survey_dynamix.behaviour import Behaviour
from tests.whole.survey_dynamix.conftest import Project

ARGUMENTS = ("probe", "--contact", "anna@example.com", "--schema", "493", "--yes")


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({}, {"reference_kept": "yes", "empty_list": "204", "delete_again": 404}),
        (
            {
                "success_status": 201,
                "empty_list": "array",
                "gone_status": 410,
                "delete_status": 204,
                "reference_filter": "ignored",
                "reference_cut": 10,
                "read_back_delay": 0.7,
                "listed_after_delete": 0.7,
                "answer_form": "wrapped",
                "id_form": "text",
            },
            {"reference_kept": "no", "empty_list": "empty array", "delete_again": 410},
        ),
    ],
)
def test_each_answer_is_right_and_nobody_gets_a_survey(
    project: Project, switches: dict[str, Any], said: dict[str, Any]
) -> None:
    project.sandbox.store.behaviour = Behaviour(**switches)

    done = project.connector(*ARGUMENTS, "--json")

    answers = {each["question"]: each["answer"] for each in done.json["answers"]}
    assert done.code == 0
    assert {name: answers[name] for name in said} == said
    assert answers["create_status"] == switches.get("success_status", 200)
    assert answers["delete_status"] == switches.get("delete_status", 200)
    assert answers["wrong_key"] == 401
    assert answers["unknown_survey"] == 404
    delay = switches.get("read_back_delay", 0)
    assert delay <= answers["visible_after"] <= delay + 10
    assert None not in answers.values()
    assert (done.json["made"], done.json["took_back"], done.json["left"]) == (1, 1, [])
    assert project.sandbox.store.interactions() == []
    assert "anna@example.com" not in done.out


def test_a_survey_that_cannot_be_asked_for_is_said(project: Project) -> None:
    done = project.connector(*ARGUMENTS[:4], "reviews", "--yes")

    assert done.code == 2
    assert "the id of a survey" in done.err
