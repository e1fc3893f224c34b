-- newest deliveries first, all rows of one beside each other: a page reads a few thousand rows and not all of a client
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS enqueued_at DateTime64(3, 'UTC');
DROP TABLE IF EXISTS red.deliveries_by_time SETTINGS max_table_size_to_drop = 0;
CREATE TABLE IF NOT EXISTS deliveries_by_time
(
    client_id LowCardinality(String) CODEC(ZSTD(1)),  -- '' is the marker row of a batch
    enqueued_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),  -- when the delivery was made, the same in all its rows
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
    batch_at DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.001),
    INDEX by_alert alert_id TYPE bloom_filter(0.001)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(batch_at)
ORDER BY (client_id, enqueued_at, id, attempt)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    concurrent_part_removal_threshold = 1000000, index_granularity = 1024;
INSERT INTO red.deliveries_by_time
SELECT
    client_id, if(enqueued_at > toDateTime64(0, 3, 'UTC') OR client_id = '', enqueued_at,
        min(at) OVER (PARTITION BY client_id, subscription_id, id)) AS enqueued_at,
    id, webhook_id, alert_id, subscription_id, version, state, attempt, at, status, error, ms, due_at,
    kafka_partition, kafka_offset, batch_first, batch_rows, batch_at
FROM red.deliveries
SETTINGS max_partitions_per_insert_block = 0, max_bytes_before_external_sort = 1000000000;
SELECT throwIf((SELECT count() FROM red.deliveries) != (SELECT count() FROM red.deliveries_by_time), 'the copy is not whole');
EXCHANGE TABLES red.deliveries AND red.deliveries_by_time;
DROP TABLE red.deliveries_by_time SETTINGS max_table_size_to_drop = 0;
