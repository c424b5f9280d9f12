"""Topics of Kafka clusters, from offsets of our own."""
