"""Heat maps of where in an image a model finds its evidence, and whether they can be believed.

``gradcam.heat_maps`` is Grad-CAM++ for any model; ``placement.place`` and ``overlay.overlay`` lay a map on
its image; ``measures`` says what the maps are worth.
"""
