-- every version of every subscription; what an answer on red.command-results is about no version of has no row
CREATE TABLE IF NOT EXISTS versions
(
    client_id LowCardinality(String) CODEC(ZSTD(1)),  -- '' is the marker row of a batch
    subscription_id LowCardinality(String) CODEC(ZSTD(1)),
    version UInt32 CODEC(ZSTD(1)),
    ended UInt8 CODEC(ZSTD(1)),
    enabled UInt8 CODEC(ZSTD(1)),
    threshold_bp UInt16 CODEC(ZSTD(1)),
    trigger LowCardinality(String) CODEC(ZSTD(1)),
    rearm_below_bp Int32 CODEC(ZSTD(1)),  -- -1: it follows the threshold, or there is none
    min_interval UInt32 CODEC(ZSTD(1)),
    max_age Int64 CODEC(ZSTD(1)),  -- -1: no limit
    in_force_from String CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    batch_first UInt64 CODEC(ZSTD(1)),
    batch_rows UInt32 CODEC(ZSTD(1)),
    batch_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(batch_at)
ORDER BY (client_id, subscription_id, version)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
