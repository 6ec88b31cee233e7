"""The drawings of an evaluation, as SVG and PNG."""
