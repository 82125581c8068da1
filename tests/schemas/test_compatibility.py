"""What breaks producers, what breaks consumers, and what breaks nobody: each rule, in both directions."""

from typing import Any

import pytest

from schemas.compatibility import Change, changes

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NULL: Schema = {"type": "null"}
PERSON: Schema = {"type": "object", "title": "Person", "properties": {"name": TEXT}, "required": ["name"]}
PLACE: Schema = {"type": "object", "title": "Place", "properties": {"street": TEXT}, "required": ["street"]}


def with_field(field: Schema, *required: str, **definitions: Schema) -> Schema:
    return {"type": "object", "properties": {"field": field}, "required": list(required), "$defs": definitions}


def said(old: Schema, new: Schema) -> list[tuple[str, bool, bool]]:
    return [(change.what, change.producers, change.consumers) for change in changes(old, new)]


PRODUCERS, CONSUMERS = (True, False), (False, True)
"""Whom the step from old to new breaks. The step back breaks the others."""

ONE_WAY = [
    # old, new, what is said of it; then the step back, and what is said of that
    ({"maxLength": 200}, {"maxLength": 100}, "maxLength was 200, is 100", "maxLength was 100, is 200"),
    ({}, {"maxLength": 100}, "maxLength was not set, is 100", "maxLength was 100, is not set"),
    ({"minLength": 1}, {"minLength": 2}, "minLength was 1, is 2", "minLength was 2, is 1"),
    ({}, {"minLength": 1}, "minLength was not set, is 1", "minLength was 1, is not set"),
    ({"maximum": 9}, {"maximum": 8}, "maximum was 9, is 8", "maximum was 8, is 9"),
    ({"minimum": 1}, {"minimum": 2}, "minimum was 1, is 2", "minimum was 2, is 1"),
    (
        {"exclusiveMinimum": 0},
        {"exclusiveMinimum": 1},
        "exclusiveMinimum was 0, is 1",
        "exclusiveMinimum was 1, is 0",
    ),
    ({"maxItems": 3}, {"maxItems": 2}, "maxItems was 3, is 2", "maxItems was 2, is 3"),
    ({}, {"pattern": "^a$"}, 'pattern was not set, is "^a$"', 'pattern was "^a$", is not set'),
    ({}, {"format": "email"}, 'format was not set, is "email"', 'format was "email", is not set'),
    ({}, {"multipleOf": 5}, "multipleOf was not set, is 5", "multipleOf was 5, is not set"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, 'value was "a" or "b", is "a"', 'value was "a", is "a" or "b"'),
    ({"enum": ["a", "b"]}, {"const": "a"}, 'value was "a" or "b", is "a"', 'value was "a", is "a" or "b"'),
    ({}, {"const": "a"}, 'was any value, is only "a"', 'was only "a", is any value'),
    ({"type": "number"}, {"type": "integer"}, "type was number, is integer", "type was integer, is number"),
    ({}, TEXT, "type was anything, is string", "type was string, is anything"),
    ({"type": ["string", "null"]}, TEXT, "type was null or string, is string", "type was string, is null or string"),
    ({"anyOf": [TEXT, NULL]}, TEXT, "may no longer be null", "may now be null, too"),
    ({"oneOf": [PERSON, PLACE]}, PERSON, "may no longer be object", "may now be object, too"),
    (
        {"type": "array"},
        {"type": "array", "items": TEXT},
        "type was anything, is string",
        "type was string, is anything",
    ),
    (
        {"type": "object"},
        {"type": "object", "additionalProperties": False},
        "additionalProperties was not set, is false",
        "additionalProperties was false, is not set",
    ),
    (
        {"type": "object", "additionalProperties": {"maxLength": 2}},
        {"type": "object", "additionalProperties": {"maxLength": 1}},
        "maxLength was 2, is 1",
        "maxLength was 1, is 2",
    ),
]


@pytest.mark.parametrize(("old", "new", "forth", "back"), ONE_WAY)
def test_taking_less_breaks_producers_and_taking_more_breaks_consumers(
    old: Schema, new: Schema, forth: str, back: str
) -> None:
    assert said(with_field(old), with_field(new)) == [(forth, *PRODUCERS)]
    assert said(with_field(new), with_field(old)) == [(back, *CONSUMERS)]


BOTH_WAYS = [
    (TEXT, {"type": "integer"}, "type was string, is integer"),
    ({"pattern": "^a$"}, {"pattern": "^b$"}, 'pattern was "^a$", is "^b$"'),
    ({"format": "email"}, {"format": "idn-email"}, 'format was "email", is "idn-email"'),
    ({"enum": ["a", "b"]}, {"enum": ["a", "c"]}, 'value was "a" or "b", is "a" or "c"'),
    ({"const": "a"}, {"const": "b"}, 'value was "a", is "b"'),
    ({"type": "array", "prefixItems": [TEXT]}, {"type": "array"}, 'prefixItems was [{"type": "string"}], is not set'),
    ({"not": NULL}, {}, 'not was {"type": "null"}, is not set'),
]


@pytest.mark.parametrize(("old", "new", "what"), BOTH_WAYS)
def test_what_takes_less_and_more_or_cannot_be_judged_breaks_both(old: Schema, new: Schema, what: str) -> None:
    assert said(with_field(old), with_field(new)) == [(what, True, True)]


# Fields


def test_a_field_that_is_gone_breaks_both() -> None:
    for required in ((), ("field",)):
        assert said(with_field(TEXT, *required), {"type": "object"}) == [("is gone", True, True)]


def test_a_new_field_breaks_producers_if_it_is_required_and_nobody_if_not() -> None:
    assert said({"type": "object"}, with_field(TEXT, "field")) == [("is new and required", *PRODUCERS)]
    assert said({"type": "object"}, with_field(TEXT)) == []


def test_a_field_that_becomes_required_breaks_producers_and_the_way_back_consumers() -> None:
    assert said(with_field(TEXT), with_field(TEXT, "field")) == [("was optional, is required", *PRODUCERS)]
    assert said(with_field(TEXT, "field"), with_field(TEXT)) == [("was always there, is optional", *CONSUMERS)]


def test_another_default_breaks_who_leaves_the_field_out() -> None:
    old, new = with_field({**TEXT, "default": "a"}), with_field({**TEXT, "default": "b"})
    assert said(old, new) == [('default was "a", is "b", so leaving it out means something else', *PRODUCERS)]


def test_a_renamed_field_is_one_gone_and_one_new() -> None:
    old = {"type": "object", "properties": {"mail": TEXT}, "required": ["mail"]}
    new = {"type": "object", "properties": {"email": TEXT}, "required": ["email"]}
    assert list(changes(old, new)) == [
        Change("mail", "is gone", producers=True, consumers=True),
        Change("email", "is new and required", producers=True),
    ]


# What is said differently and means the same

HARMLESS: list[tuple[Schema, Schema]] = [
    ({**TEXT, "title": "A", "description": "a", "examples": ["a"]}, {**TEXT, "title": "B", "deprecated": True}),
    ({"enum": ["a", "b"]}, {"enum": ["b", "a"]}),
    ({"const": "a"}, {"enum": ["a"]}),
    ({"anyOf": [TEXT, NULL]}, {"anyOf": [NULL, TEXT]}),
    ({"anyOf": [TEXT, NULL]}, {"oneOf": [TEXT, NULL]}),
    ({"anyOf": [PERSON, PLACE]}, {"anyOf": [PLACE, PERSON]}),
    ({"type": ["string", "null"]}, {"type": ["null", "string"]}),
    ({"type": ["number"]}, {"type": ["integer", "number"]}),
    ({"type": "object"}, {"type": "object", "additionalProperties": True}),
]


@pytest.mark.parametrize(("old", "new"), HARMLESS)
def test_what_only_reads_differently_breaks_nobody(old: Schema, new: Schema) -> None:
    assert said(with_field(old), with_field(new)) == []
    assert said(with_field(new), with_field(old)) == []


def test_a_model_may_change_its_name_and_be_said_in_place() -> None:
    old = with_field({"$ref": "#/$defs/Person", "description": "who"}, Person=PERSON)
    new = with_field({"$ref": "#/$defs/Human"}, Human={**PERSON, "title": "Human"})
    assert said(old, new) == said(new, old) == said(old, with_field(PERSON)) == []


# Where it is


def test_the_path_leads_through_models_lists_choices_and_names() -> None:
    def around(leaf: Schema) -> Schema:
        people = {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/Person"}, NULL]}}
        person = {"type": "object", "properties": {"names": {"type": "object", "additionalProperties": leaf}}}
        return with_field(people, Person=person)

    found = list(changes(around({"maxLength": 2}), around({"maxLength": 1})))
    assert found == [Change("field[].names.*", "maxLength was 2, is 1", producers=True)]


def test_what_refers_to_itself_is_compared_all_the_same() -> None:
    def tree(leaf: Schema) -> Schema:
        properties = {"leaf": leaf, "branches": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}
        return with_field({"$ref": "#/$defs/Tree"}, Tree={"type": "object", "properties": properties})

    assert said(tree(TEXT), tree(TEXT)) == []
    found = list(changes(tree(TEXT), tree({"type": "integer"})))
    assert Change("field.leaf", "type was string, is integer", producers=True, consumers=True) in found


def test_a_change_within_a_choice_is_told_of_its_like() -> None:
    wide, tight = {**PERSON, "maxProperties": 2}, {**PERSON, "maxProperties": 1}
    old, new = with_field({"anyOf": [wide, NULL]}), with_field({"anyOf": [tight, NULL]})
    assert said(old, new) == [("maxProperties was 2, is 1", *PRODUCERS)]
