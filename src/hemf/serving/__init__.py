"""A trained model as a service: an interface for programs, a page for people, and what keeps both safe.

``app.build`` makes the application, ``server.run`` serves it. Nothing that is sent here reaches
a disk or a log.
"""
