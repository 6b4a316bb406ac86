"""HTTP: routes, handlers, the SSE response and the pages. It reads the heart and acts on its registry, no more."""
