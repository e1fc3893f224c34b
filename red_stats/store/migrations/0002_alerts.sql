CREATE TABLE IF NOT EXISTS alerts
(
    client_id LowCardinality(String) CODEC(ZSTD(1)),  -- '' is the marker row of a batch
    subscription_id LowCardinality(String) CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    prev_seq UInt64 CODEC(Delta, ZSTD(1)),
    id String CODEC(ZSTD(1)),
    version UInt32 CODEC(ZSTD(1)),
    image_id String CODEC(ZSTD(1)),
    red_bp UInt16 CODEC(ZSTD(1)),
    red Float64 ALIAS red_bp / 10000,
    threshold_bp UInt16 CODEC(ZSTD(1)),
    threshold Float64 ALIAS threshold_bp / 10000,
    measured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    position String CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    batch_first UInt64 CODEC(ZSTD(1)),
    batch_rows UInt32 CODEC(ZSTD(1)),
    batch_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(batch_at)
ORDER BY (client_id, subscription_id, seq)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
