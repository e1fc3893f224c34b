"""Whether an answer is what the OpenAPI document of its service says."""

import json
import re
from functools import cache

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from red_common.schemas import ROOT

SCHEMAS = ROOT


@cache
def document(name):
    return json.loads((SCHEMAS / "openapi" / f"{name}.json").read_text())


@cache
def validator(name, pointer):
    resource = Resource(document(name), DRAFT202012)
    return Draft202012Validator(
        {"$ref": f"urn:{name}#{pointer}"}, registry=Registry().with_resource(f"urn:{name}", resource)
    )


@cache
def templates(name):
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in document(name)["paths"]]


def operation(name, method, path):
    """Pointer and operation of an address, or None when the document does not know it."""
    for pattern, template in templates(name):
        if pattern.fullmatch(path):
            found = document(name)["paths"][template].get(method.lower())
            escaped = template.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
            return found and (f"/paths/{escaped}/{method.lower()}", found)
    return None


def check(name, method, path, status, kind, body):
    """Assert that a documented address answers as documented: status, content type, body."""
    known = operation(name, method, path)
    if known is None:
        assert status in (401, 404, 405), f"{method} {path} answers {status} and is not documented"
        return
    pointer, told = known
    response = told["responses"].get(str(status))
    assert response is not None, f"{method} {path} answers {status}, which is not documented"
    pointer = f"{pointer}/responses/{status}"
    if "$ref" in response:
        pointer = response["$ref"].removeprefix("#")
        response = document(name)["components"]["responses"][pointer.rpartition("/")[2]]
    content = response.get("content")
    if content is None:
        assert not body, f"{method} {path} answers {status} with a body that is not documented"
        return
    assert kind in content, f"{method} {path} answers {status} with {kind}"
    if "json" in kind:
        validator(name, f"{pointer}/content/{kind.replace('/', '~1')}/schema").validate(body)
