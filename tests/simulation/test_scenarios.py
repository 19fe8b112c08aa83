"""The ladders in docs/scenarios/ are what the nodes do."""

import re

import pytest

from tests.simulation.scenarios import BEGIN, FOLDER, SCENARIOS, Scenario

AGAIN = "is it meant to differ? python -m tests.simulation.scenarios --write"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.file.stem)
def test_a_scenario_is_played_as_its_file_shows(scenario: Scenario) -> None:
    assert scenario.text() == scenario.file.read_text(), AGAIN


def test_each_file_has_one_ladder_and_its_scenario_and_is_listed() -> None:
    files = {scenario.file.name for scenario in SCENARIOS}
    assert {path.name for path in FOLDER.glob("*.md")} == files | {"README.md"}
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == sorted(files)
    assert {scenario.file.read_text().count(BEGIN) for scenario in SCENARIOS} == {1}
