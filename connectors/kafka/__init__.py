"""Topics of Kafka clusters, read from offsets that Headrace stores."""
