"""What the tests of monitoring stand on: the metrics that the code exposes, and PromQL taken apart."""
