from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator

from reconciler import schema
from reconciler.load.draft import KINDS
from reconciler.schema import __main__ as generate
from reconciler.schema import reference, source


def test_the_checked_in_schema_is_what_botocore_says_today() -> None:
    stored = (schema.folder() / "manifest.schema.json").read_text()
    assert stored == generate.text(), "run: python -m reconciler.schema"


def test_the_reference_page_is_made_of_the_schema_and_its_links_lead_somewhere() -> None:
    stored = (schema.folder().parent / "docs" / "reference.md").read_text("utf-8")
    assert stored == reference.page(schema.document("manifest")), "run: python -m reconciler.schema"
    headings = {line[3:].lower().replace(".", "") for line in stored.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", stored)) <= headings
    fields = schema.document("manifest")["$defs"]["Job"]["properties"].keys() - {"kind"}
    assert not [field for field in fields if f"`{field}`" not in stored]


@pytest.mark.parametrize("name", ["manifest", "jobspec", "result", "plan"])
def test_every_schema_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema.document(name))


def test_the_schema_knows_every_kind() -> None:
    assert schema.document("manifest")["properties"]["kind"]["enum"] == list(KINDS)


def test_an_editor_lets_a_template_stand_for_a_number_and_load_does_not() -> None:
    job = {
        "kind": "Job",
        "name": "j",
        "taskDefinition": "t",
        "maxParallel": "{{ n }}",
        "launchType": "{{ l }}",
    }
    assert not list(Draft202012Validator(schema.document("manifest")).iter_errors(job))
    assert sorted(violation.path for violation in schema.violations("Job", job)) == [
        ("launchType",),
        ("maxParallel",),
    ]


def test_an_editor_complains_of_an_unknown_field_by_kind() -> None:
    repository = {"kind": "Repository", "name": "app", "command": ["x"]}
    (error,) = Draft202012Validator(schema.document("manifest")).iter_errors(repository)
    assert "command" in error.message


def test_fields_of_the_api_come_with_the_first_sentence_of_their_documentation() -> None:
    fields = schema.document("manifest")["$defs"]["ecs.ContainerDefinition"]["properties"]
    assert fields["image"]["description"] == "The image used to start a container."
    assert "<" not in json.dumps([field.get("description", "") for field in fields.values()])


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>The name.</p> <p>More of it.</p>", "The name."),
        ("<p>One of:</p><ul><li>a</li></ul>", "One of: a"),
        ("Version 1.10 of <code>x</code> &amp; y", "Version 1.10 of x & y"),
        ("", ""),
    ],
)
def test_the_first_sentence_of_html_is_text(html: str, text: str) -> None:
    assert source.first_sentence(html) == text
