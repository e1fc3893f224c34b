-- which measurement a delivery is about: what is erased of a client is told by positions
ALTER TABLE deliveries ADD COLUMN IF NOT EXISTS position String DEFAULT '' CODEC(ZSTD(1));
