"""Settings: environment, configuration file, model servers."""
