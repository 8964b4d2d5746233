"""Parts of the operator tests, as pytest's -k takes them."""

#: Every kernel at a small size: for the tools that slow everything down.
EVERY_KERNEL = (
    "conv_rows or four_taps or large_mean or (packs and 40 and float16) or (tiles and float16)"
    " or (LayerNorm and float16)"
)
#: Not the tests of derivations and tracing, which other runs do: minutes under a sanitizer, and no kernel.
KERNELS_ALONE = "not (opcheck or compile or gradcheck or threads or autocast or errors)"
#: Not the tests of the CPU alone: threads, the backend's bookkeeping, messages that name the device.
ANY_DEVICE = "not (threads or backend or errors_name)"
