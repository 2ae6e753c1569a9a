"""Rows → report: `python -m rnnbench.report WORKDIR...`

read → summary → figures, tables, text → draw (PNG, SVG), page (report.html, report.md), console
"""
