-- what every statistic reads is unpacked in half the time (a quarter byte more for a row); closed months become one
-- part, which a small question reads several times as fast as many; rows behind an offset are found by an index
ALTER TABLE measurements MODIFY COLUMN client_id CODEC(LZ4);
ALTER TABLE measurements MODIFY COLUMN measured_at CODEC(Delta, LZ4);
ALTER TABLE measurements MODIFY COLUMN red_bp CODEC(LZ4);
ALTER TABLE measurements MODIFY COLUMN kafka_offset CODEC(Delta, LZ4);
ALTER TABLE measurements MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE measurements ADD INDEX IF NOT EXISTS by_offset kafka_offset TYPE minmax GRANULARITY 1;
ALTER TABLE measurements MATERIALIZE INDEX by_offset SETTINGS mutations_sync = 0;
-- images of big clients by day and amount, see red_stats/store/daily.py
CREATE TABLE IF NOT EXISTS daily
(
    client_id LowCardinality(String) CODEC(LZ4),
    day UInt32 CODEC(Delta, LZ4),  -- since 1970, from 1; 0 is the marker row of a seal
    red_bp UInt16 CODEC(Delta, LZ4),
    images UInt32 CODEC(LZ4),
    sealed_from UInt64 CODEC(ZSTD(1)),  -- in the marker row, the first offset of the seal
    sealed_to UInt64 CODEC(ZSTD(1))  -- and the one behind its last
)
ENGINE = MergeTree
ORDER BY (client_id, day, red_bp)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1,
    concurrent_part_removal_threshold = 1000000;
