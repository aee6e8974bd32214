"""Helpers of the monitoring tests: the metrics that the code exposes, and a reader of PromQL."""
