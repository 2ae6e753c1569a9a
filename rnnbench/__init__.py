"""rnnbench: what can a recurrence learn, does it extrapolate in length, and what does it cost?"""

__version__ = "0.1.0"
