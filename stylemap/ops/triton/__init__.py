"""Triton versions of the passes around a convolution: on sm_90 they use the warp-group products (wgmma)."""
