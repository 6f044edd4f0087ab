"""What is wrong with a request, in one sentence: which field, and what would be right."""

from typing import Any, get_args

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo

from coordinator.io.api_models import NAME_CHARS_MAX


def sentence_of(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake."""
    first = error.errors(include_url=False)[0]
    where, kind = first["loc"], first["type"]
    if kind == "json_invalid":
        return f"The body is not JSON: {first['ctx']['error']}."
    if not where:
        return f"The body must be a JSON object with {_known(model)}."
    if issubclass(model, RootModel):
        return (
            f"The value of {_shown(str(where[0]))} is wrong ({_lower(first['msg'])}): it is a"
            " whole number or a text."
        )
    names, inner, field = _found(model, where)
    name = ".".join(names)
    if kind == "extra_forbidden":
        return f"There is no field {_shown(str(where[len(names)]))} here: there is {_known(inner)}."
    right = (field and field.description) or "as the API's documentation says"
    if kind == "missing":
        return f"The field {name!r} is missing: it is {right}."
    if kind == "value_error":
        return f"The field {name!r} is wrong: {first['ctx']['error']}; it is {right}."
    at = where[len(names)] if len(where) > len(names) else None
    item = f", item {at}," if isinstance(at, int) else ""
    return f"The field {name!r}{item} is wrong ({_lower(first['msg'])}): it is {right}."


def _found(
    model: type[BaseModel], where: tuple[int | str, ...]
) -> tuple[list[str], type[BaseModel], FieldInfo | None]:
    """How far the place of a mistake leads through known fields, and into which model."""
    names: list[str] = []
    field = None
    for step in where:
        if step not in model.model_fields:
            break
        names.append(str(step))
        field = model.model_fields[str(step)]
        kinds = (field.annotation, *get_args(field.annotation))
        within = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not within:
            break
        model = within[0]
    return names, model, field


def _shown(name: str) -> str:
    readable = name.isprintable() and len(name) <= NAME_CHARS_MAX
    return repr(name) if readable else repr(repr(name)[:80])


def _known(model: type[BaseModel]) -> str:
    if issubclass(model, RootModel):
        return "at least one name and its value"
    names = list(model.model_fields)
    return "no field at all" if not names else ", ".join(names)


def _lower(words: Any) -> str:
    text = str(words)
    return text[:1].lower() + text[1:]
