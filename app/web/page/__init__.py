"""Server-rendered pages: views, forms, templates."""
