"""More than RED can take: a clear answer at once, bounded memory, and other clients are served."""

import asyncio
import re
import time
from contextlib import contextmanager

import aiohttp
import psutil
import pytest

from tests.red_service import builders as b
from tests.services import an_api, bearer, red, running

GOOD = b.a_png()
MIB = 1 << 20


async def test_a_client_over_its_rate_learns_when_to_retry_and_others_are_served(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_RATE="2", RED_RATE_BURST="3", RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api, an_api(kafka, service) as other:
            url, headers = f"{service.url}/red", {"Content-Type": "image/png"}
            statuses, began = [], time.monotonic()
            while 429 not in statuses:  # its share grows meanwhile
                async with api.session.post(url, data=GOOD, headers=headers | bearer(api.key)) as answer:
                    statuses.append(answer.status)
                    assert answer.headers["RateLimit-Policy"] == '"images";q=3;w=2'
                    assert '"images";r=' in answer.headers["RateLimit"]
                    problem = await answer.json(content_type=None)
                assert statuses.count(200) <= 3 + 2 * (time.monotonic() - began)
            assert statuses[:3] == [200] * 3
            assert problem["code"] == "rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 2
            assert (await other.call("POST", url, data=GOOD, headers=headers))[0] == 200
            await asyncio.sleep(int(answer.headers["Retry-After"]))
            assert (await api.call("POST", url, data=GOOD, headers=headers))[0] == 200


async def test_a_flood_is_refused_in_part_and_another_client_is_served(kafka, tmp_path):
    content = b.encoded(b.noise((1200, 1000)))
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1", RED_QUEUE_SECONDS="0.3")) as service:
        async with an_api(kafka, service) as api, an_api(kafka, service) as other:
            url, headers = f"{service.url}/red", {"Content-Type": "image/png"}
            expected = (await api.sent(service, content))["red"]
            flooding = [
                asyncio.create_task(api.call("POST", url, data=content, headers=headers)) for _ in range(60)
            ]
            await asyncio.sleep(0.1)
            served = [(await other.sent(service, content))["red"] for _ in range(3)]
            answers = await asyncio.gather(*flooding)

    assert served == [expected] * 3
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503}
    assert {answer["code"] for status, answer in answers if status == 503} == {"overloaded"}
    assert {answer["red"] for status, answer in answers if status == 200} == {expected}


async def test_64_connections_of_one_client_with_small_images_are_never_refused(kafka, tmp_path):
    async def posting(api, service):
        for _ in range(5):
            await api.sent(service, GOOD)

    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            await asyncio.gather(*(posting(api, service) for _ in range(64)))


async def test_the_images_of_one_request_wait_for_each_other_as_long_as_it_takes(kafka, tmp_path):
    content = b.encoded(b.noise((1200, 1000)))
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1", RED_QUEUE_SECONDS="0.05")) as service:
        async with an_api(kafka, service) as api:
            form = aiohttp.FormData()
            for number in range(16):
                form.add_field("image", content, filename=f"{number}.png", content_type="image/png")
            status, answer = await api.call("POST", f"{service.url}/red", data=form)
    assert status == 200
    assert {item["status"] for item in answer["items"]} == {"measured"}


def decoders_of(service):
    """The decoding processes of RED."""
    return [child for child in psutil.Process(service.process.pid).children() if is_decoder(child)]


def is_decoder(process):
    return "red_service.decoding.worker" in process.cmdline()


@contextmanager
def stopped(service):
    """Every decoder is stopped: an image gets no processor time."""
    for process in decoders_of(service):
        process.suspend()
    try:
        yield
    finally:
        for process in decoders_of(service):
            process.resume()


async def test_an_image_that_waits_for_the_processor_is_measured_however_long_that_takes(kafka, tmp_path):
    given = {"RED_DECODE_WORKERS": "1", "RED_DECODE_SECONDS": "0.5"}
    with running(red(kafka, tmp_path, **given)) as service:
        async with an_api(kafka, service) as api:
            with stopped(service):
                sending = asyncio.create_task(api.sent(service, GOOD))
                await asyncio.sleep(1.5)  # three times what it may take of the processor
                assert not sending.done()
            assert (await sending)["red"] == 1


async def test_an_image_that_gets_no_processor_is_503_and_its_key_may_be_used_again(kafka, tmp_path):
    given = {"RED_DECODE_WORKERS": "1", "RED_DECODE_SECONDS": "0.1"}
    with running(red(kafka, tmp_path, **given)) as service:
        async with an_api(kafka, service) as api:
            url, headers = f"{service.url}/red", {"Content-Type": "image/png", "Idempotency-Key": "k"}
            with stopped(service):
                status, problem = await api.call("POST", url, data=GOOD, headers=headers)
            assert (status, problem["code"]) == (503, "overloaded")
            async with asyncio.timeout(20):
                while (answer := await api.call("POST", url, data=GOOD, headers=headers))[0] == 503:
                    assert answer[1]["code"] == "overloaded"
            assert (answer[0], answer[1]["red"]) == (200, 1)


async def held_by_bodies(api, service):
    """The bytes of bodies that RED holds now."""
    _, told = await api.call("GET", f"{service.url}/metrics")
    return float(re.search(rb"^red_body_bytes (\S+)$", told, re.MULTILINE)[1])


async def stalled(api, service, size):
    """Connections of a client that have sent `size` bytes of a body and no more; another one was refused."""
    begun = (
        f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {api.key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {64 * MIB}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n'
    ).encode() + bytes(size)
    waiting = []
    while True:
        before = await held_by_bodies(api, service)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(begun)
        answer = asyncio.create_task(reader.readline())
        while not answer.done() and await held_by_bodies(api, service) < before + size:
            pass
        if answer.done():
            assert b"503" in await answer
            writer.close()
            return waiting
        waiting.append((answer, writer))


async def test_bodies_of_one_client_leave_room_for_those_of_another(kafka, tmp_path):
    """However many it begins, and however slowly it sends the rest."""
    with running(red(kafka, tmp_path, RED_BODY_MEMORY=str(128 * MIB), RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as hostile, an_api(kafka, service) as honest:
            waiting = [one for size in (19 * MIB, MIB) for one in await stalled(hostile, service, size)]

            for content in (GOOD, b.encoded(b.noise((1200, 1000))), GOOD):
                assert (await honest.sent(service, content))["status"] == "measured"
            assert not waiting[0][0].done()  # it still has what it took
            for answer, writer in waiting:
                answer.cancel()
                writer.transport.abort()


async def test_one_client_alone_may_send_a_whole_body(kafka, tmp_path):
    images = [b.a_jpeg() + bytes(15 * MIB + MIB // 2) for _ in range(4)]
    with running(red(kafka, tmp_path, RED_BODY_MEMORY=str(128 * MIB), RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            form = aiohttp.FormData()
            for number, image in enumerate(images):
                form.add_field("image", image, filename=f"{number}.png", content_type="image/png")
            status, answer = await api.call("POST", f"{service.url}/red", data=form)
    assert status == 200, answer
    assert [item["status"] for item in answer["items"]] == ["measured"] * 4


async def test_bodies_take_bounded_memory_however_many_come(kafka, tmp_path):
    limit = 128 * MIB
    with running(red(kafka, tmp_path, RED_BODY_MEMORY=str(limit), RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            process = psutil.Process(service.process.pid)
            before = process.memory_info().rss
            connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(64)]
            head = (
                f"POST /red HTTP/1.1\r\nHost: red\r\nAuthorization: Bearer {api.key}\r\n"
                f"Content-Type: image/png\r\nContent-Length: {6 * MIB}\r\n\r\n"
            ).encode()

            begun = head + bytes(5 * MIB)  # together more than the bound below

            async def flood(reader, writer):
                writer.write(begun)
                return await reader.read(1 << 16)

            answers = await asyncio.gather(*(flood(*connection) for connection in connections))
            for _, writer in connections:
                writer.close()

            assert process.memory_info().rss - before < 2 * limit  # of which one client has half
            assert sum(b"503" in a.splitlines()[0] and b"overloaded" in a for a in answers) >= 8
            assert sum(b"408" in a.splitlines()[0] for a in answers) >= 1
            assert (await api.sent(service, GOOD))["red"] == 1


async def last_words(reader):
    """What came before the connection was closed or reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_connections_that_never_ask_are_closed(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1", RED_IDLE_SECONDS="4")) as service:
        async with an_api(kafka, service) as api:
            connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(200)]
            for number, (_, writer) in enumerate(connections):
                writer.write(b"POST /red HTTP/1.1\r\nX: " if number % 2 else b"")
            ending = [asyncio.create_task(last_words(reader)) for reader, _ in connections]
            async with asyncio.timeout(60):
                while not all(end.done() for end in ending):
                    for _, writer in connections[1::2]:
                        if not writer.is_closing():
                            writer.write(b"y")  # a byte now and then is not a request
                    assert (await api.sent(service, GOOD))["red"] == 1
                    await asyncio.sleep(0.5)
            ends = [await end for end in ending]
    assert {end.splitlines()[0] if end else b"" for end in ends} == {b"", b"HTTP/1.1 408 Request Timeout"}


@pytest.mark.parametrize("status", [503])
async def test_a_failing_store_is_reported_and_safe_to_retry(kafka, tmp_path, status):
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            url, headers = f"{service.url}/red", {"Content-Type": "image/png"}
            folder = service.folder / "data" / "images" / "v1" / api.client_id
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.write_text("a file where a folder should be")
            given, problem = await api.call("POST", url, data=GOOD, headers=headers)
            assert (given, problem["code"]) == (status, "not_stored")
            folder.unlink()
            assert (await api.call("POST", url, data=GOOD, headers=headers))[0] == 200


async def test_a_missing_or_damaged_image_is_a_clear_problem(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1")) as service:
        async with an_api(kafka, service) as api:
            item = await api.sent(service, GOOD)
            url = f"{service.url}/red/images/{item['image_id']}"
            sha = item["sha256"]
            path = service.folder / "data" / "images" / "v1" / api.client_id / sha[:2] / sha
            path.write_bytes(GOOD[:-1] + b"x")
            status, problem = await api.call("GET", url)
            assert (status, problem["code"]) == (503, "image_lost")
            assert "damaged" in problem["detail"]
            path.unlink()
            status, problem = await api.call("GET", url)
            assert (status, problem["code"]) == (503, "image_lost")
            assert "missing" in problem["detail"]
            await api.sent(service, GOOD)
            assert (await api.call("GET", url)) == (200, GOOD)


async def test_the_same_bytes_of_a_client_are_kept_once_and_of_another_apart(kafka, tmp_path):
    with running(red(kafka, tmp_path, RED_DECODE_WORKERS="1", RED_STORAGE_FSYNC="true")) as service:
        async with an_api(kafka, service) as api, an_api(kafka, service) as other:
            items = [await one.sent(service, GOOD) for one in (api, api, other)]
            images = service.folder / "data" / "images" / "v1"
            stored = [path for path in images.rglob(items[0]["sha256"]) if path.is_file()]
    assert len({item["image_id"] for item in items}) == 3
    assert len(stored) == 2
