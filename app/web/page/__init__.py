"""The pages: views, forms, templates."""
