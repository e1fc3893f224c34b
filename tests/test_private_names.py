"""Every private name of another library that we touch: a new pin without one of them fails here, by name.

Private state has no signature, so what can be checked is that it is still there: on the class, or in the
source of the class that sets it.
"""

import ast
import ctypes
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest

from red_common.kafka import patches
from red_service.decoding import libwebp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("red_common", "red_service", "red_stats")
PINNED = {"aiokafka": patches.AIOKAFKA, "faust-streaming": "0.15.3", "sqlglot": "30.30.0"}
OURS = {"_asdict", "_replace"}  # of named tuples: public in spite of their names

TOUCHED = {
    "sqlglot.parsers.clickhouse:ClickHouseParser": (
        "_advance", "_resolve_clickhouse_agg", "_tokens", "_warn_unsupported",
    ),
    "aiokafka.client:AIOKafkaClient": ("_conns", "_sync_task", "_wait_on_metadata"),
    "aiokafka.conn": ("AIOKafkaProtocol", "io", "log"),
    "aiokafka.conn:AIOKafkaConnection": ("_handle_frame", "_protocol", "_read"),
    "aiokafka.consumer.consumer:AIOKafkaConsumer": (
        "_client", "_coordinator", "_fetch_max_wait_ms", "_fetch_min_bytes", "_fetcher", "_isolation_level",
        "_subscription",
    ),
    "aiokafka.consumer.fetcher": ("MemoryRecords",),
    "aiokafka.consumer.fetcher:Fetcher": ("_records",),
    "aiokafka.consumer.fetcher:FetchResult": ("_partition_records",),
    "aiokafka.consumer.fetcher:PartitionRecords": (
        "_consumer_record", "_records", "_records_iterator", "next_fetch_offset",
    ),
    "aiokafka.consumer.group_coordinator:GroupCoordinator": ("_group_instance_id",),
    "aiokafka.producer.message_accumulator:BatchBuilder": ("_builder", "_relative_offset"),
    "aiokafka.producer.message_accumulator:MessageAccumulator": ("_batches", "_pending_batches"),
    "aiokafka.producer.message_accumulator:MessageBatch": ("_drain_waiter",),
    "aiokafka.producer.producer:AIOKafkaProducer": (
        "_closed", "_message_accumulator", "_sender", "_txn_manager",
    ),
    "aiokafka.producer.sender": ("AddPartitionsToTxnHandler", "BACKOFF_OVERRIDE"),
    "aiokafka.producer.sender:BaseHandler": ("_sender",),
    "aiokafka.producer.sender:Sender": ("sender_task",),
    "aiokafka.producer.transaction_manager:TransactionManager": ("_transaction_waiter", "transactional_id"),
    "aiokafka.codec": ("_detect_xerial_stream", "snappy_decode"),
    "aiokafka.record._crecords.default_records": (
        "gzip_decode", "lz4_decode", "snappy_decode", "zstd_decode",
    ),
    "aiokafka.record.default_records": (
        "_DefaultRecordBatchPy", "_DefaultRecordPy", "gzip_decode", "lz4_decode", "snappy_decode",
        "zstd_decode",
    ),
    "aiokafka.record.default_records:_DefaultRecordBatchPy": ("CODEC_MASK", "_buffer", "_maybe_uncompress"),
    "aiokafka.record.memory_records": ("_MemoryRecordsPy",),
    "aiokafka.record.memory_records:_MemoryRecordsPy": ("_next_slice", "next_batch"),
    "aiohttp.connector:BaseConnector": ("_conns", "_factory", "_release"),
    "aiohttp.multipart:BodyPartReader": ("_content",),
    "aiohttp.web_protocol:RequestHandler": (
        "_buffer_paused", "_close", "_current_request", "_force_close", "_handle_request",
        "_keepalive_handle", "_lingering_time", "_loop", "_messages", "_process_keepalive",
        "_reading_paused", "_request_count", "_waiter",
    ),
    "aiohttp.web_runner:AppRunner": ("_make_server",),
    "aiohttp.web_server:Server": ("_kwargs", "_loop"),
    "faust.app.base:App": ("_new_transport", "_new_web", "consumer_generation_id"),
    "faust.tables.base:Collection": ("_new_store",),
    "faust.tables.manager:TableManager": ("_update_channels", "recovery"),
    "faust.transport.consumer:Consumer": (
        "_add_gap", "_commit", "_get_active_partitions", "_is_changelog_tp", "_unacked_messages",
        "can_resume_flow", "flow_active", "force_commit", "verify_event_path",
    ),
    "faust.transport.consumer:ThreadDelegateConsumer": ("_getmany", "_new_consumer_thread", "_thread"),
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": (
        "_consumer", "_create_worker_consumer", "_ensure_consumer", "_fetch_records", "_seek_wait",
    ),
    "faust.web.base:Web": ("_enabled_blueprints",),
    "faust.web.drivers.aiohttp:Web": ("_runner", "web_app"),
    "mode.threads:QueueServiceThread": ("call_thread",),
    "mode.worker:Worker": ("_schedule_shutdown", "_sentinel_task"),
    "PIL": ("_webp",),
}  # fmt: skip


@pytest.mark.parametrize(("library", "pin"), PINNED.items())
def test_the_libraries_whose_insides_we_touch_are_the_ones_we_know(library, pin):
    assert version(library) == pin, f"read what changed in {library}, then this table"


@pytest.mark.parametrize("place", TOUCHED)
def test_every_private_name_is_still_where_we_touch_it(place):
    module_name, _, class_name = place.partition(":")
    module = importlib.import_module(module_name)
    if not class_name:
        for name in TOUCHED[place]:
            importlib.import_module(f"{module_name}.{name}") if name == "_webp" else getattr(module, name)
        return
    owner = getattr(module, class_name)
    source = "".join(inspect.getsource(one) for one in owner.__mro__ if _is_python(one))
    for name in TOUCHED[place]:
        assert hasattr(owner, name) or f"self.{name}" in source, f"{place} has no {name} any more"


def _is_python(kind):
    return kind is not object and "site-packages" in (inspect.getsourcefile(kind) or "")


def test_no_private_name_is_touched_that_the_table_does_not_name():
    known = {name for names in TOUCHED.values() for name in names} | OURS | _own_names()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for line, name in _foreign(ast.parse(path.read_text())):
                assert name in known, f"{path.relative_to(ROOT)}:{line} touches {name}: name it in TOUCHED"


def _foreign(tree):
    """Private attributes of anything but `self`, with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.endswith("__"):
            continue
        if not isinstance(node.value, ast.Name) or node.value.id not in ("self", "cls", "os"):
            yield node.lineno, node.attr


def _own_names():
    """What our own classes set on themselves, and classes may use of each other."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.ctx, ast.Store)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "self"
                ):
                    found.add(node.attr)
    return found


def test_pillow_carries_the_libwebp_that_is_called_directly():
    library = libwebp.load()
    assert isinstance(library, ctypes.CDLL), "WebP would be decoded by Pillow, in 16 bytes a pixel"
    assert libwebp.version(library).startswith("1.")


def test_patches_are_all_or_nothing_on_the_version_they_were_written_for():
    with pytest.raises(patches.UnknownVersion, match=r"aiokafka 9\.9\.9 is installed, and 0\.14\.0"):
        patches.apply(installed="9.9.9")
    patches.apply()
