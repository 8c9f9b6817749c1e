"""Measuring retrieval on collections with judgments: `python -m rag.evaluate --help`.

Importing the package brings the pure measures only; what runs a model is imported by `__main__`.
"""

from rag.evaluate.measures import auroc, mean_reciprocal_rank, recall_at

__all__ = ["auroc", "mean_reciprocal_rank", "recall_at"]
