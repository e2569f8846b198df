"""A report: one HTML file without scripts and without network, for a browser, a phone or a printer."""

from snn_deploy.report.contents import Contents, Curve, Losses, Picture, Score
from snn_deploy.report.page import render_page

__all__ = ["Contents", "Curve", "Losses", "Picture", "Score", "render_page"]
"""What a report holds, and :func:`render_page`, which draws it."""
