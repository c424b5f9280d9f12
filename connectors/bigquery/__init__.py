"""BigQuery as a source: tables and the results of queries, read in the streams of the Storage Read API."""
