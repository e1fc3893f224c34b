CREATE TABLE IF NOT EXISTS measurements
(
    client_id LowCardinality(String) CODEC(ZSTD(1)),  -- '' is the marker row of a batch
    measured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    red_bp UInt16 CODEC(ZSTD(1)),
    red Float64 ALIAS red_bp / 10000,
    image_id String CODEC(ZSTD(1)),
    red_pixels UInt64 CODEC(ZSTD(1)),
    pixels UInt64 CODEC(ZSTD(1)),
    red_excess_bp UInt16 CODEC(ZSTD(1)),
    red_channel_bp UInt16 CODEC(ZSTD(1)),
    width UInt32 CODEC(ZSTD(1)),
    height UInt32 CODEC(ZSTD(1)),
    format LowCardinality(String) CODEC(ZSTD(1)),
    bytes UInt64 CODEC(ZSTD(1)),
    sha256 String CODEC(ZSTD(1)),
    rule LowCardinality(String) CODEC(ZSTD(1)),
    decoder LowCardinality(String) CODEC(ZSTD(1)),
    kafka_partition UInt16 CODEC(ZSTD(1)),
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    batch_first UInt64 CODEC(ZSTD(1)),
    batch_rows UInt32 CODEC(ZSTD(1)),
    batch_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(batch_at)
ORDER BY (client_id, measured_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1
