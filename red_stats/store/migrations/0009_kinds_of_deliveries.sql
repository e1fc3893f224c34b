-- what a delivery is, which alerts of its subscription are in it, how long the steps of a POST took (-1: there was none)
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS kind LowCardinality(String) DEFAULT if(alert_id = '', if(client_id = '', '', 'test'), 'alert');
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS first_seq UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS last_seq UInt64 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS count UInt32 DEFAULT 0 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS because LowCardinality(String) DEFAULT '';
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS dns_ms Int32 DEFAULT -1 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS connect_ms Int32 DEFAULT -1 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS tls_ms Int32 DEFAULT -1 CODEC(ZSTD(1));
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS first_byte_ms Int32 DEFAULT -1 CODEC(ZSTD(1));
