"""A whole cluster for tests: real nodes, real engines, and a network in between that can be cut and slowed down."""
