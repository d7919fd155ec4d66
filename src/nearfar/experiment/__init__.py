"""The only place that joins configuration, data, method, loop, evaluation and run folder."""
