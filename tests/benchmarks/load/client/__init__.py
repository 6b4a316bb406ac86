"""The load: clients that ask, read and measure, and cost as little as they can."""
