"""The web editor: a local application on top of `EditSession`.

`app.create_app` builds it, `stylemap edit-server` runs it, `protocol` documents what browser and server say
to each other, `openapi` the HTTP interface for the same edits without the page.
"""
