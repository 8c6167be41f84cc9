"""Reads expositions with the parsers of prometheus_client: one after the other, each after a line that says which
format it has and how many bytes it is. Answers each with a line of JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text

PARSERS = {"Text": text, "OpenMetrics": open_metrics}

while header := sys.stdin.buffer.readline():
    name, length = header.decode().split()
    exposition = sys.stdin.buffer.read(int(length)).decode()
    try:
        samples = [
            [
                sample.name,
                sample.labels,
                repr(float(sample.value)),
                sample.exemplar and [sample.exemplar.labels, repr(float(sample.exemplar.value))],
            ]
            for family in PARSERS[name](exposition)
            for sample in family.samples
        ]
        answer = {"samples": samples}
    except Exception as error:  # whatever it is, it is what a scraper would say
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
