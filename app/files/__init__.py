"""Files of prices: CSV, NDJSON and Parquet, gzipped or not."""
