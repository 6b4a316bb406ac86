"""HTTP: routes, handlers, SSE responses and pages. This layer reads the domain and acts only through its registry."""
