"""Comparison losses as pure functions of tensors: no module, no queue, no configuration."""

from nearfar.losses.contrastive import count_anchors_without_positive, info_nce, sup_con

__all__ = ["count_anchors_without_positive", "info_nce", "sup_con"]
