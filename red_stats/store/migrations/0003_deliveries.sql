CREATE TABLE IF NOT EXISTS deliveries
(
    client_id LowCardinality(String) CODEC(ZSTD(1)),  -- '' is the marker row of a batch
    id String CODEC(ZSTD(1)),
    webhook_id String CODEC(ZSTD(1)),
    alert_id String CODEC(ZSTD(1)),  -- '' for a test event
    subscription_id LowCardinality(String) CODEC(ZSTD(1)),
    version UInt32 CODEC(ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    attempt UInt16 CODEC(ZSTD(1)),  -- 0: a change of state without a POST
    at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    status UInt16 CODEC(ZSTD(1)),  -- 0: no answer
    error String CODEC(ZSTD(1)),
    ms UInt32 CODEC(ZSTD(1)),
    due_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    batch_first UInt64 CODEC(ZSTD(1)),
    batch_rows UInt32 CODEC(ZSTD(1)),
    batch_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(batch_at)
ORDER BY (client_id, subscription_id, id, attempt)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
