"""Rows → report: `python -m rnnbench.report WORKDIR...`

read → summary → findings, panels, tables → text (report.md), draw (PNG, SVG), page (report.html)
"""
