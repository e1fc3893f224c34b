"""RED over HTTP, as a process on a real Kafka: every kind of bad input, and good images."""

import asyncio
import hashlib
import io
import json
import re
import time
import uuid

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from red_common.api_keys import signed
from red_common.events import decode
from red_common.kafka.partitioner import partition_of
from tests.conftest import PARTITIONS
from tests.red_service import builders as b
from tests.red_service.web.bad_inputs import IMAGES, REQUESTS, rows
from tests.services import SECRET_KEYS, a_key, an_api, bearer, published, red, running

GOOD = b.a_png()


@pytest.fixture(scope="module")
def service(kafka, tmp_path_factory):
    with running(red(kafka, tmp_path_factory.mktemp("red"), RED_DECODE_WORKERS="2")) as service:
        yield service


@pytest.fixture(scope="module")
def key(kafka, service):
    return asyncio.run(_key(kafka, service))


async def _key(kafka, service):
    client_id, key, _ = await a_key(kafka)
    async with aiohttp.ClientSession(service.url) as session:
        await until_known(session, key)
    return client_id, key


async def until_known(session, key, known=True):
    """Returns once the service accepts the key, or no more."""
    async with asyncio.timeout(20):
        while True:
            async with session.get("/red/images/x", headers=bearer(key)) as answer:
                if (answer.status != 401) == known:
                    return
            await asyncio.sleep(0.02)


@pytest.fixture
async def client(service, key):
    async with aiohttp.ClientSession(service.url, headers=bearer(key[1])) as session:
        session.client_id = key[0]
        yield session


async def sent(client, body, kind="image/png", **headers):
    async with client.post("/red", data=body, headers={"Content-Type": kind, **headers}) as answer:
        assert re.fullmatch(r"application/(problem\+)?json", answer.content_type)
        return answer.status, await answer.json(content_type=None), answer.headers


def form(*parts):
    made = aiohttp.FormData()
    for number, (content, name) in enumerate(parts):
        made.add_field(f"image{number}", content, filename=name, content_type="image/png")
    return made


def bad(kinds):
    """Every case of every row: the row's words, and the case."""
    return [
        pytest.param(row, one, id=f"{row} {n}") for row, cases in kinds.items() for n, one in enumerate(cases)
    ]


ROWS = rows()


def test_every_row_of_the_page_has_its_cases_here():
    assert ROWS.keys() == IMAGES.keys() | REQUESTS.keys()
    assert all(IMAGES.values())
    assert all(REQUESTS.values())


@pytest.mark.parametrize(("row", "content"), bad(IMAGES))
async def test_an_image_gets_the_answer_of_its_row_alone_and_beside_good_ones(client, row, content):
    status, code = ROWS[row]
    started = time.monotonic()

    given, answer, _ = await sent(client, content)

    assert time.monotonic() - started < 5, "a bomb that is unpacked takes far longer, on any machine"
    assert (given, answer.get("code", "")) == (status, code)
    async with client.post("/red", data=form((content, "odd"), (GOOD, "good.png"))) as answer:
        odd, good = (await answer.json())["items"]
    assert (answer.status, odd["status"]) == (200, "rejected" if code else "measured")
    assert odd.get("problem", {}).get("code", "") == code
    assert (good["status"], good["red"], good["name"], good["index"]) == ("measured", 1, "good.png", 1)


@pytest.mark.parametrize(("row", "request_"), bad(REQUESTS))
async def test_a_request_gets_the_answer_of_its_row(client, service, key, row, request_):
    status, code = ROWS[row]

    if request_.framing:
        head, _, body = (await raw(service, key[1], request_.headers, request_.body)).partition(b"\r\n\r\n")
        given, answer = int(head.split()[1]), json.loads(body)
        assert b"application/problem+json" in head
    else:
        async with client.post("/red", data=request_.body, headers=request_.headers) as response:
            given, answer = response.status, await response.json(content_type=None)

    assert (given, answer.get("code", "")) == (status, code)
    if code:
        assert (answer["status"], answer["type"]) == (status, f"urn:red:problem:{code}")
    else:
        assert [item["status"] for item in answer.get("items", [answer])] == ["measured"]


async def test_the_bytes_decide_and_the_item_says_all(client):
    status, item, headers = await sent(client, GOOD, "image/jpeg")

    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert uuid.UUID(item["image_id"]).version == 7
    partition, offset = map(int, item["position"].split(":"))
    assert partition == partition_of(client.client_id, PARTITIONS)
    assert offset >= 0
    measured_at = item["measured_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", measured_at)
    assert item | {"image_id": 0, "position": 0} == {
        "index": 0, "name": None, "status": "measured", "image_id": 0, "client_id": client.client_id,
        "measured_at": measured_at, "format": "png", "width": 16, "height": 16,
        "sha256": hashlib.sha256(GOOD).hexdigest(), "red": 1, "red_pixels": 256, "pixels": 256,
        "red_excess": item["red_excess"], "red_channel": item["red_channel"], "rule": "red-1",
        "position": 0,
    }  # fmt: skip


async def test_the_event_stands_where_the_position_says(client, kafka):
    _, item, _ = await sent(client, GOOD)
    partition, offset = map(int, item["position"].split(":"))
    tp = TopicPartition("red.measurements", partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, offset)
        record = await consumer.getone()
    finally:
        await consumer.stop()

    event = decode(record.value)

    assert record.offset == offset
    assert record.key.decode() == event.client_id == client.client_id
    assert (event.image_id, event.red, event.bytes) == (item["image_id"], 1, len(GOOD))


async def test_the_stored_bytes_come_back_as_a_download_to_their_client_only(client, service, kafka):
    polyglot = b.a_jpeg() + b"<script>alert(1)</script>" + bytes(1 << 20)  # row 14
    _, item, _ = await sent(client, polyglot)
    _, stranger, _ = await a_key(kafka)
    address = f"/red/images/{item['image_id']}"

    async with client.get(address) as answer:
        assert await answer.read() == polyglot
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    await until_known(client, stranger)
    for path, headers, status in (
        (address, bearer(stranger), 404),
        (f"/red/images/{uuid.uuid4()}", {}, 404),
        ("/red/images/..%2f..%2fsecret.key", {}, 404),
        (address, {"Authorization": "Bearer nonsense"}, 401),
    ):
        async with client.get(path, headers=headers) as answer:
            assert (path, answer.status) == (path, status)


async def test_repeated_images_are_two_images(client):
    first, second = (await sent(client, GOOD))[1], (await sent(client, GOOD))[1]
    assert first["image_id"] != second["image_id"]
    assert first["position"] != second["position"]


async def test_too_large_is_refused_for_the_whole_request(client, service, key):
    big = bytes((20 << 20) + 1)
    status, problem, _ = await sent(client, big)  # 28
    assert (status, problem["code"]) == (413, "image_too_large")
    async with client.post("/red", data=form((GOOD, "a"), (big, "b"))) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "image_too_large")
    head = {"Content-Length": str((64 << 20) + 1)}
    answer = await raw(service, key[1], head, b"")  # 29: before a byte of the body
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


async def test_a_body_without_an_end_is_refused_at_the_limit(service, key):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {key[1]}\r\n"
    writer.write(f"{head}Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    answer = asyncio.create_task(reader.read(1 << 16))
    sent = 0
    async with asyncio.timeout(20):
        while not answer.done():
            writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
            await asyncio.wait({answer}, timeout=0.02)
            sent += 1
            if sent > 25:
                break
        assert b"image_too_large" in await answer
    writer.close()


async def raw(service, key, headers, body, *, seconds=20):
    """The response on a connection that sends exactly this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    given = {"Host": "red", "Authorization": f"Bearer {key}", "Content-Type": "image/png"} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    writer.write(f"POST /red HTTP/1.1\r\n{lines}\r\n".encode() + body)
    async with asyncio.timeout(seconds):
        answer = await reader.read(1 << 16)
    writer.close()
    return answer


async def test_slow_and_lying_senders_get_a_timeout_in_bounded_time(service, key):
    async def dripping():
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        head = f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {key[1]}\r\n"
        writer.write(f"{head}Content-Type: image/png\r\nContent-Length: 1000\r\n\r\n".encode())
        answer = asyncio.create_task(reader.read(1 << 16))
        while not answer.done():
            writer.write(b"x")
            await asyncio.sleep(0.5)
        return answer.result()

    async with asyncio.timeout(13):
        answers = await asyncio.gather(
            raw(service, key[1], {"Content-Length": "1000"}, GOOD[:10]),  # 31
            dripping(),  # 33
        )
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"request_timeout" in answer
        assert b"Connection: close" in answer or b"connection: close" in answer


async def test_a_client_still_sending_when_it_is_refused_gets_the_error(service, key):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = (
        f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {key[1]}\r\nContent-Type: text/plain\r\n"
    )
    writer.write(f"{head}Content-Length: 400000\r\n\r\n".encode())
    for _ in range(40):
        writer.write(bytes(10_000))
        await asyncio.sleep(0.1)
    async with asyncio.timeout(30):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "-1"}, {"Content-Length": "5", "Transfer-Encoding": "chunked"}],
)
async def test_contradicting_headers_are_a_400(service, key, headers):
    assert b" 400 " in (await raw(service, key[1], headers, b"12345")).splitlines()[0]


async def test_a_client_that_ends_its_side_behind_its_request_is_answered(service, key):
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {key[1]}\r\nContent-Type: image/png\r\n"
    writer.write(f"{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD)
    writer.write_eof()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["red"] == 1


async def test_an_unknown_expectation_is_a_417_problem(service, key):
    headers = {"Content-Length": str(len(GOOD)), "Expect": "x", "Connection": "close"}
    head, _, body = (await raw(service, key[1], headers, GOOD)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 417")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


async def test_too_many_parts(client):
    for count in (17, 300):
        async with client.post("/red", data=form(*[(GOOD, "x")] * count)) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "too_many_images")
    async with client.post("/red", data=form(*[(GOOD, "x")] * 16)) as answer:
        items = (await answer.json())["items"]
    assert [item["index"] for item in items] == list(range(16))
    assert len({item["position"] for item in items}) == 16


BOUNDED = "multipart/form-data; boundary=B"
PART = b'--B\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n' + GOOD


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("multipart/form-data", b"x", 400, "multipart_malformed"),  # 35
        ("application/json", b'{"url": "x"}', 415, "unsupported_media_type"),
        ("text/plain", b"x", 415, "unsupported_media_type"),
        (BOUNDED, b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n--B--",
         400, "multipart_malformed"),  # 36
        (BOUNDED, PART, 400, "multipart_malformed"),  # 37
        (BOUNDED, PART + b"\r\n--B", 400, "multipart_malformed"),
        (BOUNDED, b"x\r\n" * 100_000, 400, "multipart_malformed"),  # 38
        (BOUNDED, b"x" * 300_000, 400, "multipart_malformed"),
        (BOUNDED, b"--B--\r\n", 400, "multipart_malformed"),
        (BOUNDED, PART.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1) + b"\r\n--B--\r\n",
         415, "content_encoding"),  # 39
        (BOUNDED, b'--B\r\nContent-Disposition: form-data; name="image_url"\r\n\r\nhttp://x/\r\n--B--\r\n',
         400, "url_input_not_supported"),  # 48
        (BOUNDED, PART[:50] + b"\r\n" + b"X: " + b"y" * 40_000 + b"\r\n\r\nz\r\n--B--\r\n",
         400, "multipart_malformed"),
    ],
)  # fmt: skip
async def test_a_body_that_cannot_be_read_is_refused(client, kind, body, status, code):
    given, problem, _ = await sent(client, body, kind)
    assert (given, problem["code"]) == (status, code)


async def test_an_encoded_body_is_refused(client):
    status, problem, _ = await sent(client, b"x", **{"Content-Encoding": "gzip"})
    assert (status, problem["code"]) == (415, "content_encoding")


async def test_a_hostile_file_name_is_only_repeated(client):
    for name in ("../../etc/x", "n" * 10_000, "große Rose.jpg"):
        async with client.post("/red", data=form((GOOD, name))) as answer:
            [item] = (await answer.json())["items"]
        assert answer.status == 200
        assert len(item["name"]) <= 255


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (b"filename*=UTF-8''a%00b", "a?b"),
        (b'filename="a\0b.png"', "a?b.png"),
        (b'filename="a\x01\x7f.png"', "a??.png"),
        (rb'filename="C:\fakepath\x.png"', r"C:\fakepath\x.png"),
        (rb'filename="\"quoted\".png"', '"quoted".png'),
        (b'filename="a"b;c.png"', 'a"b;c.png'),
        (b'filename="x.png"; filename="y.png"', "x.png"),
        (b"filename=plain.png", "plain.png"),
        (b"filename=two words.png", None),
        (b"filename*=UTF-8''%ff", None),
        (b'filename=""', ""),
        (b'filename="gro\xdfe.png"', "gro?e.png"),
        (b'filename="' + b"n" * 3000 + b'"', "n" * 255),
    ],
)
async def test_a_file_is_measured_whatever_its_name(client, given, name):
    body = PART.replace(b'filename="a"', given) + b"\r\n--B--\r\n"

    status, answer, _ = await sent(client, body, BOUNDED)

    assert (status, answer["items"][0]["status"], answer["items"][0]["name"]) == (200, "measured", name)


def part(disposition, content, *headers):
    lines = [b"Content-Disposition: form-data; " + disposition, *headers]
    return b"--B\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + content + b"\r\n"


NOTE = part(b'name="note"', "grüße".encode())


async def test_a_plain_field_of_a_form_is_ignored(client):
    image = part(b'name="image"; filename="a.png"', GOOD)
    fields = [
        NOTE,
        part(b'name="empty"', b""),
        part(b'name="typed"', b"x", b"Content-Type: text/plain; charset=utf-8"),
    ]

    for body in (NOTE + image, b"".join(fields) + image, image + NOTE, image * 16 + NOTE):
        status, answer, _ = await sent(client, body + b"--B--\r\n", BOUNDED)
        assert (status, {item["status"] for item in answer["items"]}) == (200, {"measured"})
        assert [item["index"] for item in answer["items"]] == list(range(body.count(GOOD)))


async def test_bytes_of_an_image_without_a_file_name_are_an_image(client):
    for headers in ((), (b"Content-Type: image/png",), (b"Content-Type: application/octet-stream",)):
        status, answer, _ = await sent(client, part(b'name="a"', GOOD, *headers) + b"--B--\r\n", BOUNDED)
        assert (status, answer["items"][0]["red"], answer["items"][0]["name"]) == (200, 1, None)


async def test_a_form_of_plain_fields_only_is_a_400_that_says_so(client):
    status, problem, _ = await sent(client, NOTE * 3 + b"--B--\r\n", BOUNDED)
    assert (status, problem["code"]) == (400, "multipart_malformed")
    assert "only text fields" in problem["detail"]


async def test_a_form_has_a_bounded_number_of_fields(client):
    status, problem, _ = await sent(client, NOTE * 10_000 + b"--B--\r\n", BOUNDED)
    assert (status, problem["code"]) == (413, "too_many_images")


@pytest.mark.parametrize("kind", ["binary/octet-stream", "application/octet-stream", "IMAGE/anything; q=1"])
async def test_octets_are_measured_whatever_they_are_called(client, kind):
    assert (await sent(client, GOOD, kind))[0] == 200


async def test_nothing_measured_is_a_422_with_the_items(client):
    async with client.post("/red", data=form((b"", "a"), (b"x", "b"))) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (422, "no_image_measured")
    assert [item["problem"]["code"] for item in problem["items"]] == ["image_empty", "unsupported_format"]


async def test_requests_without_permission_are_refused(client, service, kafka):
    _, other_scope, _ = await a_key(kafka, scopes=("statistics",))
    _, admin, _ = await a_key(kafka, scopes=("admin",))
    _, revoked, record = await a_key(kafka)
    for token in (other_scope, admin, revoked):
        await until_known(client, token)
    ended = msgspec.structs.replace(record, revoked_at="2026-01-02T00:00:00.000Z")
    await published(kafka, signed(ended, SECRET_KEYS))
    await until_known(client, revoked, known=False)
    cases = [
        ("/red", "nonsense", 401, "unauthenticated"),
        ("/red", revoked, 401, "unauthenticated"),
        ("/red", other_scope, 403, "scope_missing"),
        (f"/red?client={client.client_id}", other_scope, 403, "scope_missing"),
        (f"/red?client={client.client_id}", None, 403, "admin_only"),
        ("/red?client=NO!", admin, 400, "invalid_parameter"),
        ("/red?colour=red", None, 400, "unknown_parameter"),
    ]
    for path, token, status, code in cases:
        headers = {"Content-Type": "image/png"} | (bearer(token) if token else {})
        async with client.post(path, data=GOOD, headers=headers) as answer:
            assert (path, answer.status, (await answer.json())["code"]) == (path, status, code)
            assert (status == 401) == ("WWW-Authenticate" in answer.headers)
    headers = {"Content-Type": "image/png"} | bearer(admin)
    async with client.post(f"/red?client={client.client_id}", data=GOOD, headers=headers) as answer:
        assert (await answer.json())["client_id"] == client.client_id


async def test_addresses_and_methods(client):
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/red", 405, "method_not_allowed"),
        ("DELETE", "/red", 405, "method_not_allowed"),
    ):
        async with client.request(method, path) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
    async with client.get("/nothing", headers={"Authorization": ""}) as answer:
        assert answer.status == 401
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        async with client.get(path, headers={"Authorization": ""}) as answer:
            assert (path, answer.status) == (path, 200)


async def test_the_page_may_call_and_others_may_not(client, service):
    for origin, allowed in (("http://127.0.0.1:6066", True), ("http://evil.example", False)):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        async with client.options("/red", headers=headers) as answer:
            assert ("Access-Control-Allow-Origin" in answer.headers) == allowed
        async with client.post("/red", data=b"", headers={"Origin": origin}) as answer:
            assert ("Access-Control-Allow-Origin" in answer.headers) == allowed


async def test_an_image_that_takes_too_long_is_too_expensive_and_the_next_is_measured(kafka, tmp_path):
    slow = b.encoded(b.solid(size=(6000, 6500)))  # 27
    with running(red(kafka, tmp_path, RED_DECODE_SECONDS="0.25", RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            headers = {"Content-Type": "image/png"}
            for _ in range(2):
                async with asyncio.timeout(60):
                    while True:  # a decoder that gets no processor is 503, and no verdict
                        answer = await api.call("POST", f"{service.url}/red", data=slow, headers=headers)
                        if answer[0] != 503:
                            break
                assert (answer[0], answer[1]["code"]) == (422, "image_too_expensive")
                assert (await api.sent(service, GOOD))["red"] == 1


async def test_after_all_that_a_good_image_is_measured_right(client):
    async with client.post("/red", data=form((GOOD, "red.png"), (b.a_png(b.WHITE), "white.png"))) as answer:
        red, white = (await answer.json())["items"]
    assert (red["red"], white["red"]) == (1, 0)


async def test_the_answers_fit_the_openapi_document(client):
    async with client.get("/openapi.json") as answer:
        document = json.loads(await answer.read())
    _, item, _ = await sent(client, io.BytesIO(GOOD))
    assert set(item) == set(document["components"]["schemas"]["Item"]["required"])
