"""The API as it describes itself: whole, and true of whatever is sent to it."""

import http.client
import json
import random
import re

import pytest

from server import eventually

#: Requests for each operation.
TRIES = 12
#: Values of a path's parameter of which nothing is called so.
NAMES = ["nobody", "%ff", "..%2f..%2fetc%2fpasswd", "a" * 300, "live%00", "%20", "%F0%9F%99%82", "LIVE", "none-such", "%2e%2e", "live%3Fa", "{id}"]
#: Values that no field of ours takes.
WRONG = [True, [], [[]], {}, {"a": {"b": []}}]


@pytest.fixture(scope="module")
def document(server):
    answer = server.get("/openapi.json")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    return answer.json


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def ask(server, method, path, body=None, **headers):
    """Status, headers and body of an answer, of one without an end only its head."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        endless = answer.getheader("content-type") == "text/event-stream"
        return answer.status, answer.headers, b"" if endless else answer.read()
    finally:
        connection.close()


def test_the_document_is_whole(server, document):
    assert document["openapi"].startswith("3.1.")
    for pointer in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        value = document
        for part in pointer.split("/"):
            value = value[part]
    kinds = {kind["type"]: kind for kind in server.get("/problems").json}
    ids, named = set(), set()
    for method, path, operation in operations(document):
        place = f"{method} {path}"
        assert operation["summary"] and operation["tags"], place
        assert operation["operationId"] not in ids, place
        ids.add(operation["operationId"])
        assert set(re.findall(r"{(\w+)}", path)) == {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}, place
        assert any(status < "400" for status in operation["responses"]), place
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            assert response["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}, place
            for name in response["description"].split(", "):
                named.add(f"/problems/{name}")
                assert kinds[f"/problems/{name}"]["status"] == int(status), (place, name)
    # Those that no operation has: of other methods, and of a port with TLS.
    assert set(kinds) - named <= {"/problems/method-not-allowed", "/problems/plain-http", "/problems/forbidden", "/problems/too-many"}


def test_every_kind_of_problem_is_explained(server):
    for kind in server.get("/problems").json:
        assert server.get(kind["type"]).json == kind
    assert server.get("/problems/none").status == 404


def test_the_examples_run(serve, tmp_path):
    server = serve({"recordings.folder": tmp_path})
    ran = 0
    for method, path, operation in operations(server.get("/openapi.json").json):
        example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if example is None:
            continue
        answer = server.ask(method, path.replace("{id}", "live"), **example)
        assert 200 <= answer.status < 300, (path, answer.body)
        assert str(answer.status) in operation["responses"]
        ran += 1
    assert ran >= 5


def test_what_wants_a_token_says_so_and_nothing_else_does(serve):
    server = serve({"http.token": "a secret"})
    for method, path, operation in operations(server.get("/openapi.json", Authorization="").json):
        status, headers, _ = ask(server, method, re.sub(r"{\w+}", "live", path), b"" if method == "POST" else None)
        wanted = bool(operation.get("security"))
        assert (status == 401) == wanted, (method, path, status)
        assert ("WWW-Authenticate" in headers) == wanted


def body_of(operation, chance):
    """A body that can't be used, and its type."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return None, {}
    kind = chance.choice(list(content))
    noise = chance.choice([b"", b"{", b"v=0\r\n", b"null", bytes(3), chance.randbytes(2_000), b"[" * 20_000, b"\xff\xfe"])
    if kind == "application/json":
        fields = dict(content[kind].get("example", {}))
        match chance.randrange(4):
            case 0:
                fields[chance.choice(["file", "url", "__proto__", "Id", ""])] = chance.choice(WRONG)
            case 1:
                fields = {name: chance.choice(WRONG) for name in fields}
            case 2:
                fields = chance.choice([[], [1], "text", 7, None])
            case 3:
                return noise, {"Content_Type": kind}
        return json.dumps(fields).encode(), {"Content_Type": chance.choice([kind] * 4 + ["text/plain", "application/xml"])}
    if kind == "multipart/form-data":
        kind += chance.choice(["", "; boundary=edge", "; boundary="])
        noise = chance.choice([noise, b"--edge\r\n" + noise, b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + noise])
    return noise, {"Content_Type": chance.choice([kind.replace("*", "wav")] * 3 + ["application/json", "nonsense"])}


def test_what_cannot_be_used_is_answered_as_it_is_described(serve, document):
    server = serve({"http.requests_per_s": 0})
    chance = random.Random(6)
    kinds = {kind["type"]: kind["status"] for kind in server.get("/problems").json}
    asked = 0
    for method, path, operation in operations(document):
        for _ in range(TRIES):
            body, headers = body_of(operation, chance)
            # With a body that can't be used the name may be right.
            names = [*NAMES, *["live"] * 12] if body is not None else NAMES
            place = re.sub(r"{\w+}", lambda _: chance.choice(names), path)
            if chance.random() < 0.3:
                place += chance.choice(["?", "?interrupt=maybe", "?token=%ff", "?a=b&a=c", "?" + "x" * 2_000])
            if chance.random() < 0.3:
                headers[chance.choice(["If_Match", "Range", "Last_Event_ID", "Accept", "Cookie"])] = chance.choice(["*", "bytes=9-1", "-1", "x" * 900])
            if method in ("POST", "PATCH") and body is None:
                body = b""
            status, told, said = ask(server, method, place, body, **headers)
            asked += 1
            request = (method, place[:200], (body or b"")[:60], headers, said[:300])
            assert status < 500, (status, request)
            assert str(status) in operation["responses"], (status, request)
            if status >= 400:
                assert told["content-type"] == "application/problem+json", request
                assert kinds[json.loads(said)["type"]] == status, request
    assert asked >= 300
    assert server.get("/v1/sessions").json["sessions"][0]["id"] == "live"
    assert "panicked" not in server.log


def test_the_document_can_be_read_without_a_network(server, document, open_page):
    page = open_page(f"{server.url}/docs", width=1280, height=900)
    blocks = page.tab.locator(".opblock")
    blocks.first.wait_for(timeout=20_000)
    count = sum(1 for _ in operations(document))
    eventually(lambda: blocks.count() == count, within=10)
    loaded = page.tab.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
    assert {origin for origin in loaded if origin != "null"} == {server.url}
