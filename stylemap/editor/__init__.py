"""The web editor: a local application on top of `EditSession`.

`app.create_app` builds it, `stylemap edit-server` runs it. `protocol` says what page and server send each
other over the WebSocket, `api` is the HTTP interface for the same edits without the page.
"""
