"""The benchmarks: what a token, a stream and a stop cost, beside the smallest relay, in one run."""
