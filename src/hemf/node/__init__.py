"""A trained model as a DICOM node: images come in by C-STORE, structured reports and heat maps go back.

``service.run`` runs it. An image is acknowledged once it is safe on disk (``receive``, ``queue``); one thread
classifies (``worker``), another sends (``sender``), and each step is written down before the next, so that a
process that is killed anywhere goes on where it was.
"""
