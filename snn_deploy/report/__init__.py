"""A report: one HTML file without scripts and without network, for a browser, a phone or a printer."""

from snn_deploy.report.contents import Contents, Curve, Picture
from snn_deploy.report.page import page

__all__ = ["Contents", "Curve", "Picture", "page"]
"""What a report holds, and :func:`page`, which draws it."""
