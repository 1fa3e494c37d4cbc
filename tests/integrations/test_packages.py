"""What holds for the packages of all orchestrators."""

from pathlib import Path

INTEGRATIONS = Path(__file__).parents[2] / "integrations"


def test_each_package_has_the_same_files_that_start_a_process() -> None:
    parts = sorted(INTEGRATIONS.glob("*/*/process"))

    assert len(parts) == 2
    one, *others = ({file.name: file.read_text() for file in part.glob("*.py")} for part in parts)
    assert set(one) == {"__init__.py", "command.py", "guard.py", "outcome.py", "planned.py"}
    for other in others:
        assert other == one, "edit one, and copy it to the others"
